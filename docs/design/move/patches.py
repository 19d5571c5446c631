"""Whether what tests patch is there: run in the root of a moved tree."""
import ast, importlib, sys
from pathlib import Path
sys.path.insert(0, ".")
bad=n=0
for path in sorted([*Path("tests").rglob("*.py"), *Path("benchmarks").rglob("*.py")]):
    tree=ast.parse(path.read_text())
    alias={}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("taskinity_data"):
            for a in node.names:
                alias[a.asname or a.name]=(node.module,a.name)
        elif isinstance(node, ast.Import):
            for a in node.names:
                if a.name.startswith("taskinity_data") and a.asname: alias[a.asname]=(a.name,None)
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call): continue
        name=node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func,"id","")
        if name in ("setattr","patch","delattr") and node.args:
            first=node.args[0]
            if isinstance(first, ast.Constant) and str(first.value).startswith("taskinity_data"):
                parts=first.value.split("."); obj=None
                for i in range(len(parts),0,-1):
                    try: obj=importlib.import_module(".".join(parts[:i])); break
                    except ImportError: continue
                try:
                    for p in parts[i:]: obj=getattr(obj,p)
                    n+=1
                except AttributeError as e: bad+=1; print(path,node.lineno,first.value,e)
            elif isinstance(first, ast.Name) and first.id in alias and len(node.args)>1 and isinstance(node.args[1], ast.Constant):
                mod,nm=alias[first.id]
                try:
                    obj=importlib.import_module(mod)
                    if nm is not None:
                        try: obj=importlib.import_module(f"{mod}.{nm}")
                        except ImportError: obj=getattr(obj,nm)
                    getattr(obj,node.args[1].value); n+=1
                except AttributeError as e: bad+=1; print(path,node.lineno,first.id,node.args[1].value,e)
        # module attributes used at all
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in alias:
            mod,nm=alias[node.value.id]
            if nm is None: continue
            try: obj=importlib.import_module(f"{mod}.{nm}")
            except ImportError: continue
            n+=1
            if not hasattr(obj,node.attr) and not (nm in ("cli",)): bad+=1; print(path,node.lineno,node.value.id,node.attr)
print("checked",n,"bad",bad)
