# SPDX-License-Identifier: Apache-2.0
python3 -c '
import multiprocessing as m
def f(x): return x * x
if __name__ == "__main__":
    p = m.Process(target=print, args=("child",), kwargs={"flush": True}); p.start(); p.join(); print(p.exitcode)
    q = m.Queue(); p = m.Process(target=q.put, args=(5,)); p.start(); print(q.get()); p.join()
    a, b = m.Pipe(False); b.send([1]); print(a.recv())
    v = m.Value("i", 3); print(v.value)
    with m.Pool(3) as p: print(p.map(f, range(10)))
    from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
    with ThreadPoolExecutor() as e: print(list(e.map(f, range(5))))
    with ProcessPoolExecutor(2) as e: print(list(e.map(f, range(5))))
    from multiprocessing import shared_memory; s = shared_memory.SharedMemory(create=True, size=10); s.buf[0] = 1; s.close(); s.unlink(); print("shm")
'
