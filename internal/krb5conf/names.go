package krb5conf

import "strings"

// Misplaced returns a warning for each name that nothing reads where it stands, provided
// that it looks like one that is read there, or is read in another place. Of other names
// there is nothing to say: programs have their own.
func (p *Profile) Misplaced() []Warning {
	if p == nil {
		return nil
	}
	m := &misplaced{}
	for _, v := range p.strays {
		if strings.HasPrefix(v.Text, "[") {
			m.warnf(v, "%s is indented before the first section, and so taken for a comment: begin the line with it", printed(v.Text))
			continue
		}
		m.warnf(v, "%s stands before the first section, and so is taken for a comment: it belongs in %s", clip(v.Text), placeOf(v.Text))
	}
	for i := range p.root.items {
		if sub := p.root.items[i].sub; sub != nil {
			m.section(sub)
		}
	}
	return m.warnings
}

// maxLooks bounds how many names that are not known are compared with those that are.
const maxLooks = 1000

type misplaced struct {
	warnings []Warning
	looks    int
}

func (m *misplaced) warnf(at Value, format string, args ...any) {
	m.warnings = addWarning(m.warnings, at.File, at.Line, format, args...)
}

// section looks at one of the outermost sections.
func (m *misplaced) section(s *section) {
	switch s.name {
	case "libdefaults":
		here := vocabulary(knownLibdefaults + " " + knownTickets + " " + knownPKINIT)
		m.relations(s, here, "[libdefaults]")
		for _, of := range s.subsections() {
			switch {
			case here.has(of.name): // such as v4_name_convert
			case vocabulary(knownSections).has(of.name):
				m.warnf(of.at, "nothing reads the section %s in [libdefaults]: write [%s] for it", clip(of.name), of.name)
			default:
				m.relations(of, here+vocabulary(" "+knownRealm), "a realm of [libdefaults]")
			}
		}
	case "realms":
		for _, of := range s.subsections() {
			m.relations(of, knownRealm+" "+knownTickets+" "+knownPKINIT, "a realm of [realms]")
		}
	case "plugins":
		for _, of := range s.subsections() {
			if !vocabulary(knownPlugins).has(of.name) {
				m.unknown(of.at, of.name, knownPlugins, "[plugins]")
			}
			m.relations(of, knownPlugin, "an interface of [plugins]")
		}
	case "kdcdefaults":
		m.relations(s, knownKDCDefaults, "[kdcdefaults]")
	case "domain_realm", "capaths":
		m.elsewhere(s)
	default:
		if vocabulary(knownSections).has(s.name) {
			return
		}
		if file := foreign(s.name); file != "" {
			m.warnf(s.at, "nothing reads [%s]: it is a section of %s", printed(s.name), file)
		} else if near := m.nearest(s.name, knownSections); near != "" {
			m.warnf(s.at, "nothing reads [%s]: the nearest section that is known is [%s]", printed(s.name), near)
		}
	}
}

// relations looks at those of a section in which these names are known.
func (m *misplaced) relations(s *section, known vocabulary, where string) {
	for i := range s.items {
		if it := &s.items[i]; len(it.values) > 0 && !known.has(it.name) {
			m.unknown(it.values[0], it.name, known, where)
		}
	}
}

// elsewhere looks at the relations of a section in which any name may stand, such as a
// host's: one that another section has is told if no host is called so.
func (m *misplaced) elsewhere(s *section) {
	for i := range s.items {
		it := &s.items[i]
		if len(it.values) == 0 || !strings.Contains(it.name, "_") {
			continue
		}
		if at := placeOf(it.name); at != "" {
			m.warnf(it.values[0], "nothing reads %s in [%s]: it belongs in %s", clip(it.name), printed(s.name), at)
		}
	}
}

// unknown warns of a name that is none of the known ones, if it is known elsewhere or
// looks like one of them.
func (m *misplaced) unknown(at Value, name string, known vocabulary, where string) {
	if place := placeOf(name); place != "" {
		m.warnf(at, "nothing reads %s in %s: it belongs in %s", clip(name), where, place)
	} else if near := m.nearest(name, known); near != "" {
		m.warnf(at, "nothing reads %s in %s: the nearest name that is known is %s", clip(name), where, near)
	}
}

// nearest returns the known name that a name looks like, "" if there is none.
func (m *misplaced) nearest(name string, known vocabulary) string {
	if m.looks++; m.looks > maxLooks {
		return ""
	}
	return known.nearest(name)
}

// placeOf returns where a name is known, "" for nowhere.
func placeOf(name string) string {
	for _, place := range []struct{ known, where string }{
		{knownLibdefaults + " " + knownTickets, "[libdefaults]"},
		{knownRealm, "a realm of [realms]"},
		{knownKDCDefaults, "[kdcdefaults]"},
	} {
		if vocabulary(place.known).has(name) {
			return place.where
		}
	}
	return ""
}

// subsections returns the sections within one.
func (s *section) subsections() []*section {
	var list []*section
	for i := range s.items {
		if sub := s.items[i].sub; sub != nil {
			list = append(list, sub)
		}
	}
	return list
}

// printed is a name within a message, without its quotes.
func printed(name string) string { return strings.Trim(clip(name), `"`) }

// stray notes a line before the first section that would mean something in one.
func (s *state) stray(line string) {
	if s.looks++; s.looks > maxLooks {
		return
	}
	line = strings.TrimFunc(line, blank)
	name, _, relation := strings.Cut(line, "=")
	if name = strings.TrimRightFunc(name, blank); relation && placeOf(name) == "" {
		return
	}
	if !relation {
		header, rest, ok := strings.Cut(line, "]")
		if !ok || rest != "" || !strings.HasPrefix(header, "[") || !vocabulary(knownSections).has(header[1:]) {
			return
		}
		name = line
	}
	s.p.strays = append(s.p.strays, Value{name, s.file, s.line})
}
