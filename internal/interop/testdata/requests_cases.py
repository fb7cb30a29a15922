"""Makes the calls of cases with requests-kerberos, one case for each line of input.

A case is an object: url, calls (how many, one after the other), args (of
HTTPKerberosAuth), cache (for KRB5CCNAME), ca (a file, for https), proxies, method,
body ("bytes", "file" or "stream"; 70000 bytes each), headers, follow (redirects),
timeout. For each case a line goes out: a list of what each call came to.
"""
import io
import json
import logging
import os
import sys
import warnings

import requests
import requests_kerberos

warnings.simplefilter("ignore")
logging.disable(logging.CRITICAL)
DATA = b"b" * 70000


def body(kind):
    if kind == "bytes":
        return DATA
    if kind == "file":
        return io.BytesIO(DATA)
    if kind == "stream":
        return (DATA[i:i + 7000] for i in range(0, len(DATA), 7000))
    return None


def call(session, case, i):
    try:
        url = case["url"] + ("?n=%d" % i if i else "")
        r = session.request(case.get("method", "GET"), url, data=body(case.get("body")),
                            headers=case.get("headers"), allow_redirects=case.get("follow", False), timeout=case.get("timeout", 20))
        text = r.text
        return {"status": r.status_code, "body": text if isinstance(text, str) else text.decode(),
                "cookie": "Set-Cookie" in r.headers, "after": r.headers.get("Retry-After", "")}
    except requests_kerberos.exceptions.MutualAuthenticationError:
        return {"error": "not verified"}
    except requests_kerberos.exceptions.KerberosExchangeError:
        return {"error": "no token"}
    except requests.exceptions.RequestException as e:
        return {"error": type(e).__name__}


for line in sys.stdin:
    case = json.loads(line)
    os.environ["KRB5CCNAME"] = case["cache"]
    with requests.Session() as session:
        session.trust_env = False
        session.proxies = case.get("proxies") or {}
        session.verify = case.get("ca") or True
        session.auth = requests_kerberos.HTTPKerberosAuth(**case.get("args", {}))
        print(json.dumps([call(session, case, i) for i in range(case.get("calls", 1))]), flush=True)
