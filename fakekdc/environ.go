package fakekdc

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/kerbchain/kerbchain/fakekdc/internal/files"
)

// Files are what a realm wrote for processes that read files; see
// [Realm.WriteFiles]. Paths are absolute.
type Files struct {
	Config string      // krb5.conf
	Keytab string      // all keys of all services
	Users  []UserFiles // in the order in which they were asked for
}

// UserFiles are those of one user.
type UserFiles struct {
	Name   string // name@REALM
	CCache string // as kinit -f leaves it
	Keytab string
}

// Environ returns variables that lead MIT krb5, Heimdal and what is built upon
// them to the files, each as NAME=value: KRB5_CONFIG and KRB5_KTNAME, and for the
// first user KRB5CCNAME and KRB5_CLIENT_KTNAME.
func (f Files) Environ() []string {
	env := []string{"KRB5_CONFIG=" + f.Config, "KRB5_KTNAME=FILE:" + f.Keytab}
	if len(f.Users) > 0 {
		env = append(env, "KRB5CCNAME=FILE:"+f.Users[0].CCache, "KRB5_CLIENT_KTNAME=FILE:"+f.Users[0].Keytab)
	}
	return env
}

// Environ writes [Realm.WriteFiles] for the users to a temporary folder that the
// end of the test removes, and returns their [Files.Environ], for a process that
// the test runs:
//
//	cmd.Env = append(os.Environ(), realm.Environ("alice")...)
//
// An error ends the test. In a realm made by [New] the result is nil: nobody
// would remove the folder.
func (r *Realm) Environ(users ...string) []string {
	env, err := r.environ(users)
	if r.fail(err) != nil {
		return nil
	}
	return env
}

func (r *Realm) environ(users []string) ([]string, error) {
	if r.tb == nil {
		return nil, errors.New("environment of a realm that no test started: use WriteFiles")
	}
	dir, err := os.MkdirTemp("", "fakekdc-")
	if err != nil {
		return nil, err
	}
	r.tb.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			r.tb.Fatalf("fakekdc: %v", err)
		}
	})
	f, err := r.WriteFiles(dir, users...)
	if err != nil {
		return nil, err
	}
	return f.Environ(), nil
}

// WriteFiles writes krb5.conf, service.keytab, and for each user NAME.ccache and
// NAME.keytab into a folder, which is made if it is not there. A slash in a name
// becomes a plus sign. They hold keys: their mode is 0600, that of a folder that
// is made 0700. Without users, nothing but krb5.conf and service.keytab is written.
//
// Where a krb5.conf of an earlier realm is there, which its first line tells, the
// files are replaced, each at once, so that no reader sees half of one. Any other
// krb5.conf is an error, and without one so is a file that has the name of one of
// ours: nothing is written then.
//
// It is for what the realm is now: what is added later, and keys that are rotated,
// are not in the files. The caller removes them.
func (r *Realm) WriteFiles(dir string, users ...string) (Files, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return Files{}, err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return Files{}, err
	}
	f := Files{Config: filepath.Join(dir, "krb5.conf"), Keytab: filepath.Join(dir, "service.keytab")}
	keys, err := r.keytab(nil)
	if err != nil {
		return Files{}, err
	}
	content := map[string][]byte{f.Config: []byte(r.Config()), f.Keytab: keys}
	for _, name := range users {
		p, err := r.lookupText(name)
		if err != nil {
			return Files{}, err
		}
		base := files.Name(p.name.Name()) // which may be ".."
		u := UserFiles{Name: p.name.String(), CCache: filepath.Join(dir, base+".ccache"), Keytab: filepath.Join(dir, base+".keytab")}
		if content[u.Keytab] != nil {
			return Files{}, fmt.Errorf("user %s: %s is taken", u.Name, u.Keytab)
		}
		if content[u.CCache], err = r.ccache(name, nil); err != nil {
			return Files{}, err
		}
		if content[u.Keytab], err = r.keytab([]string{name}); err != nil {
			return Files{}, err
		}
		f.Users = append(f.Users, u)
	}
	if err := files.Write(f.Config, firstLine, content); err != nil {
		return Files{}, err
	}
	return f, nil
}

// keytab is [Realm.Keytab] without a test to end.
func (r *Realm) keytab(names []string) ([]byte, error) {
	list, err := r.forKeytab(names)
	b := []byte{5, 2}
	for _, p := range list {
		if err == nil {
			b, err = p.appendKeytab(b, r.start)
		}
	}
	return b, err
}
