package krb5conf

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
)

// Where MIT krb5 keeps its files in the folders of Windows.
const (
	mitFolder = `\MIT\Kerberos5`
	iniFile   = `\krb5.ini`
)

// folder returns the folder that the first of the variables names which is set. One
// without a drive is an error, since it would depend on which is current.
func (o Options) folder(variables ...string) (string, error) {
	for _, v := range variables {
		dir := o.getenv(v)
		switch {
		case dir == "":
			continue
		case !rooted(dir):
			return "", fmt.Errorf("%s names no folder with its drive", v)
		}
		return strings.TrimRight(dir, `\`), nil
	}
	return "", fmt.Errorf("%s is not set", variables[0])
}

// rooted reports whether a path of Windows is the same whatever the current drive and
// folder are: C:\x or \\server\share.
func rooted(path string) bool {
	return strings.HasPrefix(path, `\\`) || len(path) > 2 && path[1] == ':' && path[2] == '\\'
}

func (o Options) windowsFolder() (string, error) { return o.folder("WINDIR", "SystemRoot") }

// windowsToken is token on Windows. The folders of MIT's library are not known, and
// %{username} is Unix's.
func (o Options) windowsToken(name string) (string, error) {
	in := func(below string, variables ...string) (string, error) {
		dir, err := o.folder(variables...)
		if err != nil {
			return "", err
		}
		return dir + below, nil
	}
	switch name {
	case "uid", "USERID", "euid":
		return o.sid()
	case "TEMP":
		return in("", "TMP", "TEMP", "USERPROFILE") // as GetTempPath
	case "APPDATA":
		return in("", "APPDATA")
	case "LOCAL_APPDATA":
		return in("", "LOCALAPPDATA")
	case "COMMON_APPDATA":
		return in("", "ProgramData")
	case "WINDOWS":
		return o.windowsFolder()
	case "SYSTEM":
		return in(`\System32`, "WINDIR", "SystemRoot")
	case "USERCONFIG":
		return in(mitFolder, "APPDATA")
	case "COMMONCONFIG":
		return in(mitFolder, "ProgramData")
	case "LIBDIR", "BINDIR", "SBINDIR":
		return "", errors.New("the folder of MIT krb5 is not known on Windows")
	}
	return "", errToken
}

// sid returns the user's security identifier.
func (o Options) sid() (string, error) {
	if o.SID != nil {
		return o.SID()
	}
	return processSID()
}

// windowsNames is names on Windows. MIT krb5's default cache is of type API there, kept
// by a process of its own, and there is no file that programs agree upon in a place
// where nobody else may make one. So no cache is the default.
func (o Options) windowsNames(c *Config) {
	if dir, err := o.windowsFolder(); err == nil {
		c.DefaultKeytabName = "FILE:" + dir + `\krb5kt`
		c.clientKeytabs = []string{"FILE:" + dir + `\krb5clientkt`}
	}
}

// loadINI returns the settings in the first krb5.ini that is there.
func (o Options) loadINI() (*Config, error) {
	for _, token := range []string{"USERCONFIG", "COMMONCONFIG", "WINDOWS"} {
		dir, err := o.windowsToken(token)
		if err != nil {
			continue
		}
		path, open := dir+iniFile, o.open()
		if token == "COMMONCONFIG" {
			o.Open = o.ownedOpener(path)
		}
		f, err := open(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err == nil {
			f.Close()
		}
		return Load([]string{path}, o)
	}
	return New(nil, o), nil
}

// ownedOpener opens files as o.Open does, and the one of that path only if its owner
// is one who may decide for all.
func (o Options) ownedOpener(path string) Opener {
	open := o.open()
	return func(name string) (fs.File, error) {
		f, err := open(name)
		if err != nil || name != path {
			return f, err
		}
		if err := o.trusted(f); err != nil {
			f.Close()
			return nil, err
		}
		return f, nil
	}
}

// The security identifiers of those who may write anywhere.
var administrators = []string{
	"S-1-5-18",     // the system
	"S-1-5-32-544", // administrators
	"S-1-5-80-956008885-3418522649-1831038044-1853292631-2271478464", // TrustedInstaller
}

// A foreignFileError is about a file that is not read because of its owner.
type foreignFileError struct{ owner string }

func (e *foreignFileError) Error() string {
	return fmt.Sprintf("it belongs to %s, who is no administrator, in a folder where everybody may put files, and is not used", e.owner)
}

func (o Options) trusted(f fs.File) error {
	owner := o.Owner
	if owner == nil {
		owner = ownerOf
	}
	sid, err := owner(f)
	if err != nil {
		return fmt.Errorf("find out whose it is: %w", err)
	}
	if slices.Contains(administrators, sid) {
		return nil
	}
	if own, err := o.sid(); err == nil && own == sid {
		return nil
	}
	return &foreignFileError{sid}
}
