package krb5conf

import (
	"os"
	"runtime"
	"strings"
)

func (o Options) windows() bool {
	if o.GOOS == "" {
		return runtime.GOOS == "windows"
	}
	return o.GOOS == "windows"
}

func (o Options) getenv(name string) string {
	if o.Getenv == nil {
		return os.Getenv(name)
	}
	return o.Getenv(name)
}

func (o Options) open() Opener {
	if o.Open == nil {
		return openFile
	}
	return o.Open
}

// LoadDefault returns the settings in the files that KRB5_CONFIG names, whose names
// a colon separates, a semicolon on Windows. Where it names none, they are those in
// /etc/krb5.conf or, on Windows, in the first that is there of
// %APPDATA%\MIT\Kerberos5\krb5.ini, %ProgramData%\MIT\Kerberos5\krb5.ini and
// %WINDIR%\krb5.ini.
//
// Users of Windows may make folders in %ProgramData%. A file there that neither an
// administrator, nor the system, nor the user owns is an error.
func LoadDefault(o Options) (*Config, error) {
	if files := o.listed("KRB5_CONFIG"); files != nil {
		return Load(files, o)
	}
	if o.windows() {
		return o.loadINI()
	}
	return Load([]string{"/etc/krb5.conf"}, o)
}

// listed returns the files that a variable names, nil if there are none.
func (o Options) listed(variable string) []string {
	separator := ":"
	if o.windows() {
		separator = ";"
	}
	var paths []string
	for path := range strings.SplitSeq(o.getenv(variable), separator) {
		if path != "" {
			paths = append(paths, path)
		}
	}
	return paths
}

// names sets the names of caches, keytabs and sockets that hold where none is set.
func (o Options) names(c *Config) {
	if o.windows() {
		o.windowsNames(c)
		return
	}
	uid, _ := o.token("uid")
	euid, _ := o.token("euid")
	c.DefaultCCacheName = "FILE:/tmp/krb5cc_" + uid
	c.DefaultKeytabName = "FILE:/etc/krb5.keytab"
	c.KCMSocket = "/var/run/.heim_org.h5l.kcm-socket"
	for _, dir := range []string{"/var/kerberos", "/etc", "/usr/local/var"} {
		c.clientKeytabs = append(c.clientKeytabs, "FILE:"+dir+"/krb5/user/"+euid+"/client.keytab")
	}
}
