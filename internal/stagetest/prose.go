package stagetest

import (
	"fmt"
	"regexp"
	"strings"
)

// Prose returns what is wrong with the text of an error as a text: a clause of two
// words and more that stands in it twice, and a beginning, end or break where words
// are missing. What stands in brackets is a list, in which things may well be alike.
func Prose(text string) []string {
	var out []string
	seen := map[string]bool{}
	outside := text
	for {
		less := brackets.ReplaceAllString(outside, "; ")
		if less == outside {
			break
		}
		outside = less
	}
	for _, clause := range breaks.Split(outside, -1) {
		clause = strings.Trim(clause, " .\"")
		if !strings.Contains(clause, " ") {
			continue // a name, a number: those may come again
		}
		if seen[clause] {
			out = append(out, fmt.Sprintf("%q is said twice", clause))
		}
		seen[clause] = true
	}
	if m := holes.FindString(text); m != "" {
		out = append(out, fmt.Sprintf("words are missing at %q", m))
	}
	words := strings.Fields(text)
	if len(words) == 0 {
		return append(out, "it is empty")
	}
	last := words[len(words)-1]
	if strings.ContainsAny(last[len(last)-1:], ",;:(") || dangling[last] {
		out = append(out, fmt.Sprintf("it ends in %q", last))
	}
	return out
}

var (
	brackets = regexp.MustCompile(`[(\[][^()\[\]]*[)\]]`)
	breaks   = regexp.MustCompile(`[;:,] |[;:,]$|\n`)
	holes    = regexp.MustCompile(`^[ ;:,)]|[;:,(] [;:,)]|[;,(][;:,)]|\[\]|  |%!.|<nil>`)
)

var dangling = func() map[string]bool {
	out := map[string]bool{}
	for w := range strings.FieldsSeq("a an the and or but as is are was that which who whom whose offers offering if than says") {
		out[w] = true
	}
	return out
}()
