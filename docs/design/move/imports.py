import pkgutil, importlib, subprocess, sys
import taskinity_data
bad=0
for m in pkgutil.walk_packages(taskinity_data.__path__, "taskinity_data."):
    if m.name.endswith("__main__"): continue
    try: importlib.import_module(m.name)
    except Exception as e: bad+=1; print(m.name, repr(e)[:300])
print("bad",bad)
