"""CSV texts with records of too many fields, and the options that leave them out."""

SKIPPED = {
    "one": ("a,b\n1,2\n3,4,5\n6,7\n", {}),
    "the last": ("a,b\n1,2\n3,4,5", {}),
    "many at a chunk's start": ("a,b\n1,2\n" + "x,y,z\n" * 9 + "3,4\n" + "x,y,z\n" * 8, {}),
    "all but the first": ("a,b\n1,2\n" + "x,y,z\n" * 9, {}),
    "a separator behind the last field": ("a,b\n1,2\n3,4,\n5,6\n", {}),
    "quoted lines": ('a,b\n1,"x\ny"\n"p\nq",2,3\n4,"z"\n', {}),
    "types that only bad rows would change": ("a,b\n1,2\nx,1.5,z\n,,\n3,4\n", {}),
    "short rows too": ("a,b,c\n1\n1,2,3,4\n2,3\n", {}),
    "blank lines and comments": ("a,b\n1,2\n\n# x\n3,4,5 # y\n\n6,7\n", {"comment": "#"}),
    "blank lines that count": ("a,b\n1,2\n\n3,4,5\n\n", {"skip_blank_lines": False}),
    "no header": ("1,2\n3,4,5\n6,7\n", {"header": None}),
    "names": ("1,2\n3,4,5,6\n7,8,9\n", {"names": ["x", "y", "z"]}),
    "a later header": ("x,y,z,w\na,b\n1,2\n3,4,5\n", {"header": 1}),
    "lone CR": ("a,b\r1,2\r3,4,5\r6,7\r", {}),
    "a mark at the start of a row": ("a,b\n1,2\n\ufeff3,4,5\n\ufeff6,7,8\n\ufeff,9\n", {}),
    "a mark alone in a row": ("a\n1\n\ufeff\nx,y\n\ufeff\n", {}),
    "spaces": ("a b\n1 2\n3 4 5\n6 7\n", {"sep": " "}),
    "escapes": ("a,b\n1,2\n3\\,x,4\n3,4,5\\\n6\n7,8\n", {"escapechar": "\\"}),
    "wide units": ("a,b\n1,2\n3,4,5\n6,é\n".encode("utf-16"), {"encoding": "utf-16"}),
    "a digit separates": ("a1b\nx1y\nx1y1z\nu1v\n", {"sep": "1"}),
}
