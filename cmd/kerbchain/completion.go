package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"runtime/debug"
	"strings"

	"github.com/spf13/pflag"
)

const versionIntro = "Prints the version of the module, the commit if it is known, and Go's.\n"

func defineVersion(*pflag.FlagSet) func(context.Context, []string, world) int {
	return func(_ context.Context, args []string, w world) int {
		if len(args) > 0 {
			return usageError(w, fmt.Errorf("version takes no arguments, got %q", args[0]))
		}
		return printed(w, version())
	}
}

func version() string {
	v, commit := "(unknown)", ""
	if info, ok := debug.ReadBuildInfo(); ok {
		v = info.Main.Version
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				commit = ", commit " + s.Value
			}
		}
	}
	return fmt.Sprintf("kerbchain %s%s, %s %s/%s\n", v, commit, runtime.Version(), runtime.GOOS, runtime.GOARCH)
}

// printed writes to standard output.
func printed(w world, text string) int {
	if _, err := io.WriteString(w.stdout, text); err != nil {
		return unwritten(w, err)
	}
	return exitOK
}

const completionIntro = `Prints a script that completes commands and flags:

  bash:  source <(kerbchain completion bash)
  zsh:   kerbchain completion zsh > "${fpath[1]}/_kerbchain"
  fish:  kerbchain completion fish > ~/.config/fish/completions/kerbchain.fish
`

func defineCompletion(*pflag.FlagSet) func(context.Context, []string, world) int {
	return func(_ context.Context, args []string, w world) int {
		if len(args) == 1 {
			switch args[0] {
			case "bash":
				return printed(w, bashCompletion())
			case "zsh":
				return printed(w, zshCompletion())
			case "fish":
				return printed(w, fishCompletion())
			}
		}
		return usageError(w, errors.New("want one of bash, zsh, fish"))
	}
}

// eachFlag calls f with each flag of a command, --help included.
func (c command) eachFlag(f func(*pflag.Flag)) {
	fs, _ := c.flags()
	fs.BoolP("help", "h", false, "print what there is to know of "+c.name)
	fs.VisitAll(f)
}

// spelled returns how a flag can be written.
func spelled(f *pflag.Flag) []string {
	if f.Shorthand == "" {
		return []string{"--" + f.Name}
	}
	return []string{"-" + f.Shorthand, "--" + f.Name}
}

func bashCompletion() string {
	var names []string
	var cases strings.Builder
	for _, c := range commands() {
		names = append(names, c.name)
		var words []string
		c.eachFlag(func(f *pflag.Flag) { words = append(words, spelled(f)...) })
		fmt.Fprintf(&cases, "    %s) words='%s' ;;\n", c.name, strings.Join(words, " "))
	}
	return fmt.Sprintf(`# bash completion for kerbchain
_kerbchain() {
  local cur=${COMP_WORDS[COMP_CWORD]} words=
  if [ "$COMP_CWORD" -eq 1 ]; then
    COMPREPLY=($(compgen -W '%s help' -- "$cur"))
    return
  fi
  if [ "${COMP_WORDS[1]}" = completion ] && [[ $cur != -* ]]; then
    COMPREPLY=($(compgen -W 'bash zsh fish' -- "$cur"))
    return
  fi
  case ${COMP_WORDS[1]} in
%s  esac
  case $cur in
    -*) COMPREPLY=($(compgen -W "$words" -- "$cur")) ;;
    *) COMPREPLY=() ;;
  esac
}
complete -o default -F _kerbchain kerbchain
`, strings.Join(names, " "), cases.String())
}

// single quotes a text for a shell, always.
func single(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

func zshCompletion() string {
	var names, cases strings.Builder
	for _, c := range commands() {
		fmt.Fprintf(&names, "      %s\n", single(c.name+":"+c.about))
		fmt.Fprintf(&cases, "    %s)\n      list=(\n", c.name)
		c.eachFlag(func(f *pflag.Flag) {
			_, usage := pflag.UnquoteUsage(f)
			for _, s := range spelled(f) {
				fmt.Fprintf(&cases, "        %s\n", single(s+":"+usage))
			}
		})
		cases.WriteString("      )\n      ;;\n")
	}
	return fmt.Sprintf(`#compdef kerbchain
_kerbchain() {
  local -a list
  if (( CURRENT == 2 )); then
    list=(
%s    )
    _describe command list
    return
  fi
  if [[ $words[2] == completion && $words[CURRENT] != -* ]]; then
    list=(bash zsh fish)
    _describe shell list
    return
  fi
  case $words[2] in
%s  esac
  if [[ $words[CURRENT] == -* ]]; then
    _describe -o flag list
  else
    _files
  fi
}
if [ "$funcstack[1]" = _kerbchain ]; then
  _kerbchain "$@"
else
  compdef _kerbchain kerbchain
fi
`, names.String(), cases.String())
}

func fishCompletion() string {
	var b strings.Builder
	b.WriteString("# fish completion for kerbchain\n")
	for _, c := range commands() {
		fmt.Fprintf(&b, "complete -c kerbchain -n __fish_use_subcommand -f -a %s -d %s\n", c.name, fishQuote(c.about))
		c.eachFlag(func(f *pflag.Flag) {
			_, usage := pflag.UnquoteUsage(f)
			fmt.Fprintf(&b, "complete -c kerbchain -n '__fish_seen_subcommand_from %s' -l %s", c.name, f.Name)
			if f.Shorthand != "" {
				fmt.Fprintf(&b, " -s %s", f.Shorthand)
			}
			if f.NoOptDefVal == "" {
				b.WriteString(" -r")
			}
			fmt.Fprintf(&b, " -d %s\n", fishQuote(usage))
		})
	}
	b.WriteString("complete -c kerbchain -n '__fish_seen_subcommand_from completion' -f -a 'bash zsh fish'\n")
	return b.String()
}

func fishQuote(s string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, "'", `\'`).Replace(s) + "'"
}

const manIntro = "Prints the manual page, in the format of man: kerbchain man > kerbchain.1\n"

func defineMan(*pflag.FlagSet) func(context.Context, []string, world) int {
	return func(_ context.Context, args []string, w world) int {
		if len(args) > 0 {
			return usageError(w, fmt.Errorf("man takes no arguments, got %q", args[0]))
		}
		return printed(w, manPage())
	}
}

// manPage is written from the commands and their flags.
func manPage() string {
	var b strings.Builder
	b.WriteString(".TH KERBCHAIN 1\n.SH NAME\nkerbchain \\- Kerberos for HTTP, at a prompt\n.SH SYNOPSIS\n.nf\n")
	for _, c := range commands() {
		b.WriteString(roff(c.line()) + "\n")
	}
	b.WriteString(".fi\n.SH COMMANDS\n")
	for _, c := range commands() {
		fmt.Fprintf(&b, ".SS %s\n.nf\n%s.fi\n", roff(c.name), roff(c.intro))
		c.eachFlag(func(f *pflag.Flag) {
			name, usage := pflag.UnquoteUsage(f)
			fmt.Fprintf(&b, ".TP\n\\fB%s\\fR", roff(strings.Join(spelled(f), ", ")))
			if f.NoOptDefVal == "" && name != "" {
				fmt.Fprintf(&b, " \\fI%s\\fR", roff(name))
			}
			fmt.Fprintf(&b, "\n%s\n", roff(usage))
		})
	}
	fmt.Fprintf(&b, ".SH EXIT STATUS\n.nf\n%s.fi\n", roff(statuses))
	return b.String()
}

// roff escapes what means something to troff.
func roff(s string) string {
	s = strings.NewReplacer(`\`, `\e`, "-", `\-`, "'", `\(aq`).Replace(s)
	lines := strings.Split(s, "\n")
	for i, l := range lines {
		if strings.HasPrefix(l, ".") {
			lines[i] = `\&` + l
		}
	}
	return strings.Join(lines, "\n")
}
