package doctor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/kerbchain/kerbchain/internal/ccache"
	"github.com/kerbchain/kerbchain/internal/hints"
	"github.com/kerbchain/kerbchain/internal/keytab"
	"github.com/kerbchain/kerbchain/internal/krb"
	"github.com/kerbchain/kerbchain/middleware"
)

// credentials tells which credentials would be taken and why, and what is in them.
func (x *examination) credentials(ctx context.Context) {
	switch {
	case x.sourceErr != nil && x.confErr != nil && errors.Is(x.sourceErr, middleware.ErrConfiguration):
		x.skip("credentials", x.unseen())
		return
	case x.sourceErr != nil:
		x.fails("credentials", x.sourceErr, nameOthers)
		return
	case x.inside.Config == nil:
		x.skip("credentials", x.unseen())
		return
	}
	if x.choiceErr != nil {
		x.fails("credentials", x.choiceErr, nameOthers)
	} else {
		x.chosen()
	}
	if x.inside.Store != nil {
		x.cache(ctx, x.inside.Store)
	}
	if x.inside.Keytab != "" {
		x.keytab(ctx, "keytab", x.inside.Keytab)
	}
	x.clientKeytabs(ctx)
	x.armored(ctx)
}

const nameOthers = "name credentials that this process can read"

// armored tells whose ticket protects the login, if one is to. A cache needs no login.
func (x *examination) armored(ctx context.Context) {
	if x.armor == nil {
		return
	}
	c, err := x.armor.Choose(ctx, krb.TGS(x.clientRealm(), x.clientRealm()).String())
	if err == nil {
		text := c.Credentials
		if c.Client != "" {
			text += ", as " + c.Client
		}
		x.say("armor", OK, facts{"taken": c.Credentials, "client": c.Client}, text+", protects the login")
		return
	}
	status := Fail
	text, try := failure(err)
	switch {
	case strings.HasPrefix(try, "run kinit"): // which gets a user's
		try = hints.HostTicket
	case try == hints.Keytab:
		try = hints.ArmorKeytab
	}
	if x.inside.Store != nil && x.choice.Credentials == x.inside.Store.Name().String() {
		status = Warn
		text += ": a login has no armour"
	} else {
		x.explained = true
	}
	x.say("armor", status, nil, text, cmp.Or(try, nameOthers))
}

// clientKeytabs tells of those that are there, or that none is.
func (x *examination) clientKeytabs(ctx context.Context) {
	paths := x.inside.ClientKeytabs
	if len(paths) == 0 {
		return
	}
	there := slices.DeleteFunc(slices.Clone(paths), func(path string) bool {
		_, err := os.Stat(path)
		return errors.Is(err, fs.ErrNotExist)
	})
	if len(there) == 0 {
		x.say("client keytab", Skip, facts{"missing": paths}, "there is none at "+strings.Join(paths, ", "))
	}
	for _, path := range there {
		x.keytab(ctx, "client keytab", path)
	}
}

func (x *examination) chosen() {
	c := x.choice
	text := c.Credentials
	if c.Client != "" {
		text += ", as " + c.Client
	}
	if c.Why != "" {
		text += ": " + c.Why
	}
	x.say("credentials", OK, facts{"taken": c.Credentials, "client": c.Client, "why": c.Why}, text)
}

// cache tells of a cache, and of the ticket-granting ticket in it.
func (x *examination) cache(ctx context.Context, store ccache.Store) {
	x.owner(store.Name())
	c, err := store.Load(ctx)
	if err != nil {
		if x.choiceErr == nil { // else that says it
			x.say("cache", Fail, facts{"cache": store.Name().String()}, fmt.Sprintf("%s: %v", store.Name(), err), "run kinit")
		}
		return
	}
	var last *ccache.Credential
	for i := range c.Credentials {
		t := &c.Credentials[i]
		if t.Server.Equal(krb.TGS(c.Client.Realm, c.Client.Realm)) && (last == nil || t.EndTime.After(last.EndTime)) {
			last = t
		}
	}
	if last != nil {
		x.grantingTicket(last, x.inside.Now().Add(c.KDCOffset))
		return
	}
	x.say("tgt", Warn, nil, fmt.Sprintf("%s holds no ticket-granting ticket, and %d other tickets", store.Name(), len(c.Credentials)), "run kinit")
}

// owner tells whose a cache file is, and who may read it.
func (x *examination) owner(name ccache.Name) {
	path, ok := name.File()
	if !ok {
		x.say("cache", OK, facts{"cache": name.String()}, name.String())
		return
	}
	info, err := os.Stat(path)
	if err != nil {
		return // which the choice of credentials said
	}
	f := facts{"cache": name.String(), "mode": info.Mode().Perm().String()}
	text := name.String()
	uid, owned := ccache.OwnerOf(info)
	if owned {
		f["owner"] = ccache.User(uid)
		text += ", of user " + ccache.User(uid)
	}
	text += ", " + info.Mode().Perm().String()
	switch {
	case owned && !x.inside.Ours(uid):
		try := "run kinit with another name in KRB5CCNAME, so that the cache is your own"
		if errors.Is(x.choiceErr, fs.ErrPermission) {
			try = "" // the choice of credentials gave the advice
		}
		x.say("cache", Warn, f, text+": it is another user's, who can put tickets there", try)
	case runtime.GOOS != "windows" && info.Mode().Perm()&0o077 != 0:
		x.say("cache", Warn, f, text+": others may read the keys in it", "run chmod 600 "+path)
	default:
		x.say("cache", OK, f, text)
	}
}

// soon is how little of its life may be left to a ticket before that is worth a word.
const soon = 10 * time.Minute

func (x *examination) grantingTicket(t *ccache.Credential, now time.Time) {
	from := t.StartTime
	if from.IsZero() {
		from = t.AuthTime
	}
	f := facts{"server": t.Server.String(), "from": stamp(from), "until": stamp(t.EndTime),
		"flags": krb.FlagNames(t.Flags), "session_etype": krb.EtypeName(t.Etype())}
	text := fmt.Sprintf("%s, from %s until %s", t.Server, stamp(from), stamp(t.EndTime))
	if !t.RenewTill.IsZero() {
		f["renew_until"] = stamp(t.RenewTill)
		text += ", renewable until " + stamp(t.RenewTill)
	}
	text += "; flags " + krb.FlagNames(t.Flags) + "; session key " + krb.EtypeName(t.Etype())
	if ticket, err := krb.ParseTicket(t.Raw); err == nil {
		f["etype"], f["kvno"] = krb.EtypeName(ticket.EncPart.Etype), ticket.EncPart.Kvno
		text += ", sealed with " + krb.EtypeName(ticket.EncPart.Etype)
	}
	left := t.EndTime.Sub(now)
	switch {
	case left <= 0: // which is why there are no credentials, or why others are taken
		x.say("tgt", Warn, f, text+": it has expired", "run kinit")
	case from.After(now.Add(x.inside.Config.ClockSkew)):
		x.say("tgt", Fail, f, text+": it is not valid yet", "compare the clock of this machine with that of the KDC")
	case left < soon:
		x.say("tgt", Warn, f, fmt.Sprintf("%s: it ends in %s", text, left.Round(time.Second)), "run kinit")
	case t.Etype() == krb.RC4HMAC:
		x.say("tgt", Warn, f, text+": RC4 is switched off in more and more places", "have AES keys made for the user: change the password, and see permitted_enctypes in krb5.conf")
	default:
		x.say("tgt", OK, f, text)
	}
}

// maxEntries bounds what is told of a keytab.
const maxEntries = 20

// keytab tells whose keys are in a keytab, of which versions and types.
func (x *examination) keytab(ctx context.Context, name, path string) {
	b, err := keytab.Read(ctx, path)
	switch {
	case err != nil:
		x.say(name, Warn, facts{"keytab": path}, fmt.Sprintf("%s cannot be read: %v", path, reason(err)), "let the user of this process read "+path)
		return
	}
	var entries []string
	strong := false
	for e, err := range keytab.Entries(b) {
		if err != nil {
			x.say(name, Warn, facts{"keytab": path}, fmt.Sprintf("%s is damaged: %v", path, err), "make the keytab anew")
			return
		}
		if len(entries) == maxEntries {
			entries = append(entries, "and more")
			break
		}
		strong = strong || e.Etype != krb.RC4HMAC
		if text := fmt.Sprintf("%s version %d %s", e.Principal, e.Kvno, krb.EtypeName(e.Etype)); !slices.Contains(entries, text) {
			entries = append(entries, text)
		}
	}
	f := facts{"keytab": path, "keys": entries}
	text := path + ": " + strings.Join(entries, ", ")
	switch {
	case len(entries) == 0:
		x.say(name, Warn, f, path+" holds no keys", "make the keytab anew")
	case !strong:
		x.say(name, Warn, f, text+": there are RC4 keys alone", "make the keytab anew, with AES keys")
	default:
		x.say(name, OK, f, text)
	}
}

// reason is err without the path, which the message has already.
func reason(err error) error {
	if p, ok := errors.AsType[*fs.PathError](err); ok {
		return p.Err
	}
	return err
}

// stamp writes a time as the facts have it, in UTC (RFC 3339).
func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }
