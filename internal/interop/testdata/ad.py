#!/usr/bin/python3
"""Makes an Active Directory domain of Samba in a folder: smb.conf, databases,
users and keytabs. The argument is JSON on standard input."""

import json
import logging
import os
import sys

import ldb
import samba.dckeytab  # gives Net its export_keytab
import samba.dsdb
from samba.auth import system_session
from samba.credentials import Credentials
from samba.net import Net
from samba.param import LoadParm
from samba.provision import provision

SMB_CONF = """[global]
	server role = active directory domain controller
	server services = kdc
	realm = {realm}
	workgroup = {domain}
	netbios name = DC1
	interfaces = 127.0.0.1/8
	bind interfaces only = yes
	krb5 port = {port}
	kpasswd port = {kpasswd}
	private dir = {dir}/private
	state directory = {dir}/state
	cache directory = {dir}/cache
	lock directory = {dir}/lock
	pid directory = {dir}/run
	binddns dir = {dir}/bind
	ncalrpc dir = {dir}/ncalrpc
	winbindd socket directory = {dir}/winbindd
	ntp signd socket directory = {dir}/ntp
	log file = {dir}/samba.log
	log level = 1
[sysvol]
	path = {dir}/state/sysvol
[netlogon]
	path = {dir}/state/sysvol/scripts
"""


def make(a):
    for name in ["private", "state", "cache", "lock", "run", "bind", "ncalrpc", "winbindd", "ntp"]:
        os.mkdir(os.path.join(a["dir"], name))
    conf = os.path.join(a["dir"], "smb.conf")
    with open(conf, "w") as f:
        f.write(SMB_CONF.format(**a))
    lp = LoadParm()
    lp.load(conf)
    result = provision(
        logging.getLogger("provision"), system_session(), smbconf=conf, lp=lp,
        realm=a["realm"], domain=a["domain"], hostname="dc1", hostip="127.0.0.1",
        serverrole="active directory domain controller", dns_backend="NONE",
        dom_for_fun_level=samba.dsdb.DS_DOMAIN_FUNCTION_2008_R2,
        skip_sysvolacl=True, batch_mode=True)
    db = result.samdb

    def change(dn, how, **values):
        m = ldb.Message()
        m.dn = ldb.Dn(db, str(dn))
        for name, value in values.items():
            m[name] = ldb.MessageElement(value, how, name)
        db.modify(m)

    # Any password will do.
    change(db.domain_dn(), ldb.FLAG_MOD_REPLACE, pwdProperties="0")
    db.transaction_start()
    for u in a["users"]:
        db.newuser(u["name"], u["password"])
        found = db.search(db.domain_dn(), expression="sAMAccountName=" + u["name"], attrs=["userAccountControl"])
        dn, flags = found[0].dn, int(found[0]["userAccountControl"][0])
        values = {"userAccountControl": str(flags | u["flags"]), "msDS-SupportedEncryptionTypes": str(u["etypes"])}
        if "upn" in u:
            values["userPrincipalName"] = u["upn"]
        change(dn, ldb.FLAG_MOD_REPLACE, **values)
        if "spns" in u:
            change(dn, ldb.FLAG_MOD_ADD, servicePrincipalName=u["spns"])
        for i in range(u["groups"]):
            group = "of-%s-%d" % (u["name"], i)
            db.newgroup(group)
            change("CN=%s,CN=Users,%s" % (group, db.domain_dn()), ldb.FLAG_MOD_ADD, member=str(dn))
    db.transaction_commit()

    creds = Credentials()
    creds.guess(lp)
    for k in a["keytabs"]:
        Net(creds, lp).export_keytab(keytab=k["file"], principal=k["principal"])


make(json.load(sys.stdin))
