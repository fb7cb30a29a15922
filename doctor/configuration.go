package doctor

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/kerbchain/kerbchain/internal/krb5conf"
)

// maxSettings bounds the lines about one file that somebody else wrote.
const maxSettings = 60

// configuration tells which files were read, which line gave each value, and what in
// them is not as it was meant.
func (x *examination) configuration(context.Context) {
	conf := x.inside.Config
	if x.confErr != nil {
		x.fails("configuration", x.confErr, "mend the option that the check of the configuration names")
	}
	switch {
	case conf == nil && x.confErr == nil:
		x.skip("configuration", x.unseen())
		return
	case conf == nil:
		return
	}
	x.files(conf)
	shown := 0
	for _, key := range conf.Profile.Keys("libdefaults") {
		if shown++; shown > maxSettings {
			x.skip("setting", "further settings are left out")
			break
		}
		x.setting(conf, key)
	}
	for _, w := range append(slices.Clone(conf.Warnings), conf.Profile.Misplaced()...) {
		x.say("warning", Warn, facts{"where": w.Where(), "text": w.Text}, w.String(), "look at "+w.String())
	}
}

// unseen says why there is nothing to see of configuration and credentials.
func (x *examination) unseen() string {
	switch {
	case x.sourceErr != nil:
		return "there are no credentials to go by"
	case x.o.Client.Initiator != nil:
		return "the initiator makes its tokens by means of its own"
	case x.o.Client.Source == nil:
		return "the system signs, with the credentials of who is logged on"
	}
	return fmt.Sprintf("tickets come from a %T, into which nobody sees", x.o.Client.Source)
}

func (x *examination) files(conf *krb5conf.Config) {
	files := conf.Profile.Files()
	if len(files) == 0 {
		text := "no krb5.conf was found"
		if missed := conf.Profile.Missed(); missed != "" {
			text += " (" + missed + ")"
		}
		x.say("configuration", Warn, facts{"files": []string{}}, text+": all is as built in",
			"write a krb5.conf with default_realm, or name one in KRB5_CONFIG")
		return
	}
	x.say("configuration", OK, facts{"files": files}, strings.Join(files, ", "))
}

// setting tells of one relation of [libdefaults].
func (x *examination) setting(conf *krb5conf.Config, key string) {
	v, used := conf.Source(key), true
	if v.Line == 0 {
		v, _ = conf.Profile.Value("libdefaults", key)
		used = false
	}
	text := fmt.Sprintf("%s = %s (%s)", key, v.Text, v.Where())
	if !used {
		text += ", of which no use is made"
	}
	x.say("setting", OK, facts{"name": key, "value": v.Text, "where": v.Where(), "used": used}, text)
}
