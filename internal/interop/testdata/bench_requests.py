"""Gets a URL many times over one connection, with requests-kerberos.

Arguments: URL, how many times. It prints the seconds that it took, and those of
them that it used the processor. (With force_preemptive it would sign the first
request alone, and wait for challenges to all others.)
"""
import sys
import time

import requests
import requests_kerberos

url, n = sys.argv[1], int(sys.argv[2])
with requests.Session() as s:
    s.trust_env = False
    s.auth = requests_kerberos.HTTPKerberosAuth(mutual_authentication=requests_kerberos.REQUIRED)
    start, cpu = time.perf_counter(), time.process_time()
    for i in range(n):
        r = s.get("%s?%d" % (url, i))
        if r.status_code != 200 or r.text != "hello, you there\n":
            sys.exit("request %d: %d, %r" % (i, r.status_code, r.text))
    print(time.perf_counter() - start, time.process_time() - cpu)
