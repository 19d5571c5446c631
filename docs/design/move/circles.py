"""Circles of a tree in the new layout, two named exceptions left out."""
import ast, sys, collections
from pathlib import Path
pkg=Path(sys.argv[1])/"taskinity_data"
EX={("flow/model","execution/static_graph"),("chunks/plan","forecast/estimate")}
mods={str(p.relative_to(pkg))[:-3]:p for p in pkg.rglob("*.py")}
g=collections.defaultdict(lambda: collections.defaultdict(list))
for m,p in mods.items():
    for n in ast.walk(ast.parse(p.read_text())):
        if isinstance(n,ast.ImportFrom) and n.module and n.module.split(".")[0]=="taskinity_data":
            base="/".join(n.module.split(".")[1:])
            for a in n.names:
                full=f"{base}/{a.name}".lstrip("/")
                t=full if full in mods else base if base in mods else (base+"/__init__").lstrip("/")
                if t in mods and (m,t) not in EX and t!=m: g[m][t].append(a.name)
idx={};low={};st=[];on=set();out=[]
sys.setrecursionlimit(5000)
def sc(v):
    idx[v]=low[v]=len(idx); st.append(v); on.add(v)
    for w in list(g[v]):
        if w not in idx: sc(w); low[v]=min(low[v],low[w])
        elif w in on: low[v]=min(low[v],idx[w])
    if low[v]==idx[v]:
        c=[]
        while True:
            w=st.pop(); on.discard(w); c.append(w)
            if w==v: break
        if len(c)>1: out.append(c)
for v in list(mods):
    if v not in idx: sc(v)
for c in out:
    print("CIRCLE",len(c),sorted(c))
    for a in sorted(c):
        for b in sorted(set(g[a])&set(c)): print("    ",a,"->",b,g[a][b])
import re
longest=[]
for m,p in mods.items():
    for n in ast.walk(ast.parse(p.read_text())):
        if isinstance(n,(ast.FunctionDef,ast.AsyncFunctionDef)):
            longest.append((n.end_lineno-n.body[0].lineno+1,m,n.name))
print(sorted(longest)[-5:])
print("modules",len([m for m in mods]),"lines",sum(len(p.read_text().splitlines()) for p in mods.values()))
