package krb5conf

import "strings"

// Limits. A client's krb5.conf has some hundred lines; a large site's
// [domain_realm] some thousand.
const (
	maxFileSize  = 4 << 20  // bytes in one file
	maxTotalSize = 16 << 20 // bytes in all files of a profile
	maxFiles     = 1000     // files read, included ones among them
	maxIncludes  = 10       // how deep includes may nest
	maxNesting   = 64       // how deep sections may nest
	maxEntries   = 100_000  // relations and sections
)

// Parse reads one file's text. The name stands in what is reported and is not
// opened: Parse touches no file, and a line that includes others is passed
// over with a warning. The error is a *[SyntaxError].
func Parse(name string, text []byte) (*Profile, error) {
	r := reader{p: &Profile{}}
	if err := r.text(name, string(text), 0); err != nil {
		return nil, err
	}
	return r.p, nil
}

// A reader fills one profile from any number of files.
type reader struct {
	p       *Profile
	open    Opener // nil: includes are passed over
	total   int    // bytes so far
	entries int
	looks   int // at lines before the first section
}

// A state is one file being read. Each starts anew: an included file does not
// know which section the line that includes it stands in.
type state struct {
	*reader
	file    string
	line    int
	depth   int  // of includes
	started bool // the first section's header was seen: until then, all is comment
	opening bool // the brace is to come
	odd     int  // line of a { that has text after it
	open    []*section
}

func (r *reader) text(file, text string, depth int) error {
	s := &state{reader: r, file: file, depth: depth}
	if len(text) > maxFileSize {
		return s.errorf("more than %d MiB: is this a krb5.conf?", maxFileSize>>20)
	}
	if r.total += len(text); r.total > maxTotalSize {
		return s.errorf("more than %d MiB in all: does an include go round?", maxTotalSize>>20)
	}
	if len(r.p.files) >= maxFiles {
		return s.errorf("more than %d files: does an include go round?", maxFiles)
	}
	r.p.files = append(r.p.files, file)
	if rest, ok := strings.CutPrefix(text, "\xef\xbb\xbf"); ok {
		text = rest
		s.warnf("byte order mark skipped: MIT krb5 takes the first line for a comment, save the file without it")
	}
	if strings.HasPrefix(text, "\xff\xfe") || strings.HasPrefix(text, "\xfe\xff") {
		return s.errorf("UTF-16 text: save the file as UTF-8")
	}
	for text != "" {
		line, rest, _ := strings.Cut(text, "\n")
		text = rest
		s.line++
		if i := strings.IndexByte(line, 0); i >= 0 {
			line = line[:i]
			s.warnf("zero byte: the rest of the line is not read")
		}
		if err := s.parse(line); err != nil {
			return err
		}
	}
	switch {
	case s.opening:
		s.warnf("file ends where %s wants its {", s.inner())
	case len(s.open) > 1:
		s.warnf("file ends inside of %s: a } is missing", s.inner())
	}
	return nil
}

func (s *state) warnf(format string, args ...any) {
	s.p.warnings = addWarning(s.p.warnings, s.file, s.line, format, args...)
}

func (s *state) errorf(format string, args ...any) error {
	w := addWarning(nil, s.file, s.line, format, args...)[0]
	return &SyntaxError{w.File, w.Line, w.Text}
}

// inner names the innermost open section.
func (s *state) inner() string { return clip(s.open[len(s.open)-1].name) }

// blank is isspace of the C locale.
func blank(r rune) bool { return r == ' ' || r >= '\t' && r <= '\r' }

func (s *state) parse(line string) error {
	if name, ok := directive(line, "include"); ok {
		return s.include(name)
	}
	if name, ok := directive(line, "includedir"); ok {
		return s.includeDir(name)
	}
	if s.opening {
		if !strings.HasPrefix(strings.TrimLeftFunc(line, blank), "{") {
			return s.errorf("wanted { for %s, whose line ends after the =: write { or a value", s.inner())
		}
		s.opening = false
		return nil
	}
	if !s.started {
		if _, ok := directive(line, "module"); ok {
			s.warnf("profile modules are not loaded: the line is not read")
		}
		if !strings.HasPrefix(line, "[") {
			s.stray(line)
			return nil
		}
		s.started = true
	}
	line = strings.TrimLeftFunc(line, blank)
	if line == "" || line[0] == '#' || line[0] == ';' {
		return nil
	}
	line = strings.TrimRight(line, "\r\n")
	switch line[0] {
	case '[':
		return s.header(line)
	case '}':
		return s.end(line)
	}
	return s.relation(line)
}

// directive cuts a word that stands at the start of a line.
func directive(line, word string) (arg string, ok bool) {
	rest, ok := strings.CutPrefix(line, word)
	if !ok || rest != "" && !blank(rune(rest[0])) {
		return "", false
	}
	return strings.TrimFunc(rest, blank), true
}

func (s *state) header(line string) error {
	if len(s.open) > 1 {
		return s.errorf("section header inside of %s: a } is missing above", s.inner())
	}
	name, rest, ok := strings.Cut(line[1:], "]")
	if !ok {
		return s.errorf("wanted ] after the section's name")
	}
	rest, final := strings.CutPrefix(rest, "*")
	if strings.TrimLeftFunc(rest, blank) != "" {
		return s.errorf("text after ]: a comment stands on a line of its own")
	}
	sub, err := s.enter(&s.p.root, name)
	if err != nil {
		return err
	}
	s.open = append(s.open[:0], sub)
	sub.final = final
	return nil
}

// enter returns the section of that name, or one that belongs to nothing when
// the text that follows must not add to it.
func (s *state) enter(in *section, name string) (*section, error) {
	if err := s.count(); err != nil {
		return nil, err
	}
	it := in.need(name)
	switch {
	case it.sub == nil:
		it.sub = &section{name: name, at: Value{name, s.file, s.line}}
	case it.sub.final:
		return &section{name: name}, nil
	}
	return it.sub, nil
}

func (s *state) count() error {
	if s.entries++; s.entries > maxEntries {
		return s.errorf("more than %d relations and sections", maxEntries)
	}
	return nil
}

func (s *state) end(line string) error {
	if len(s.open) < 2 {
		if s.odd != 0 {
			return s.errorf("} closes nothing: the { in line %d has text after it and counts as a value", s.odd)
		}
		return s.errorf("} closes nothing")
	}
	last := len(s.open) - 1
	rest, final := strings.CutPrefix(line[1:], "*")
	if final {
		s.open[last].final = true
	}
	if rest = strings.TrimLeftFunc(rest, blank); rest != "" && rest[0] != '#' && rest[0] != ';' {
		s.warnf("text after } is not read: %s", clip(rest))
	}
	s.open = s.open[:last]
	return nil
}

func (s *state) relation(line string) error {
	tag, value, ok := strings.Cut(line, "=")
	if !ok {
		return s.errorf("wanted name = value, got %s", clip(line))
	}
	if tag == "" {
		return s.errorf("wanted a name before =")
	}
	if i := strings.IndexFunc(tag, blank); i >= 0 {
		if strings.TrimLeftFunc(tag[i:], blank) != "" {
			return s.errorf("blank within the name %s", clip(strings.TrimRightFunc(tag, blank)))
		}
		tag = tag[:i]
	}
	tag, _, final := strings.Cut(tag, "*")
	value = strings.TrimLeftFunc(value, blank)
	switch {
	case value == "":
		s.opening = true
		return s.begin(tag, final)
	case value[0] == '"':
		return s.add(tag, unquote(value[1:]), final)
	case value[0] == '{' && strings.TrimLeftFunc(value[1:], blank) == "":
		return s.begin(tag, final)
	}
	value = strings.TrimRightFunc(value, blank)
	if value[0] == '{' && s.groups() {
		return s.oneLine(tag, value, final)
	}
	return s.add(tag, value, final)
}

func (s *state) begin(tag string, final bool) error {
	if len(s.open) > maxNesting {
		return s.errorf("sections nest more than %d deep", maxNesting)
	}
	sub, err := s.enter(s.open[len(s.open)-1], tag)
	if err != nil {
		return err
	}
	sub.final = final
	s.open = append(s.open, sub)
	return nil
}

func (s *state) add(tag, value string, final bool) error {
	if err := s.count(); err != nil {
		return err
	}
	it := s.open[len(s.open)-1].need(tag)
	if it.final {
		return nil
	}
	it.values = append(it.values, Value{value, s.file, s.line})
	it.final = final
	return nil
}

// groups reports whether what stands here by rights is a section, so that a
// value in braces is one squeezed into a line.
func (s *state) groups() bool {
	if len(s.open) != 1 {
		return false
	}
	for _, name := range []string{"realms", "capaths"} {
		if it := s.p.root.find(name); it != nil && it.sub == s.open[0] {
			return true
		}
	}
	return false
}

// oneLine reads "R = { kdc = k }", provided that it can mean one thing only.
func (s *state) oneLine(tag, value string, final bool) error {
	inner, ok := strings.CutSuffix(value[1:], "}")
	inner = strings.TrimFunc(inner, blank)
	key, text, rel := strings.Cut(inner, "=")
	key, text = strings.TrimRightFunc(key, blank), strings.TrimLeftFunc(text, blank)
	empty := ok && inner == ""
	single := ok && rel && key != "" && text != "" && !strings.ContainsFunc(key, blank) && !strings.ContainsAny(text, "={}")
	if !empty && !single {
		s.odd = s.line
		s.warnf("%s is taken for a plain value: start a new line after {, for every relation, and for }", clip(value))
		return s.add(tag, value, final)
	}
	s.warnf("section on one line: MIT krb5 takes it for a plain value, start a new line after {, for every relation, and for }")
	if err := s.begin(tag, final); err != nil {
		return err
	}
	if single {
		key, _, last := strings.Cut(key, "*")
		if text[0] == '"' {
			text = unquote(text[1:])
		}
		if err := s.add(key, text, last); err != nil {
			return err
		}
	}
	s.open = s.open[:len(s.open)-1]
	return nil
}

// unquote returns the text up to the closing quote, or all of it when there is
// none.
func unquote(text string) string {
	if i := strings.IndexAny(text, `"\`); i < 0 || text[i] == '"' {
		if i >= 0 {
			text = text[:i]
		}
		return text
	}
	var b strings.Builder
	for i := 0; i < len(text) && text[i] != '"'; i++ {
		c := text[i]
		if c == '\\' && i+1 < len(text) {
			i++
			switch c = text[i]; c {
			case 'n':
				c = '\n'
			case 't':
				c = '\t'
			case 'b':
				c = '\b'
			}
		}
		b.WriteByte(c)
	}
	return b.String()
}
