package krb5conf

import (
	"slices"
	"strings"
)

// Encryption type numbers that MIT krb5 has names for.
const (
	des3        = 16
	aes128      = 17
	aes256      = 18
	aes128sha2  = 19
	aes256sha2  = 20
	rc4         = 23
	rc4Export   = 24
	camellia128 = 25
	camellia256 = 26
)

// A gate says which weak encryption types may stand in a list.
type gate struct{ weak, des3, rc4 bool }

func (g gate) passes(etype int32) bool {
	switch etype {
	case rc4Export:
		return g.weak
	case rc4:
		return g.weak || g.rc4
	case des3:
		return g.weak || g.des3
	}
	return true
}

// defaultEnctypes is what DEFAULT stands for, before the gate.
func defaultEnctypes() []int32 {
	return []int32{aes256, aes128, aes256sha2, aes128sha2, des3, rc4, camellia128, camellia256}
}

// enctypesOf returns what a word in a list stands for, nil if nothing.
func enctypesOf(word string) []int32 {
	switch strings.ToLower(word) {
	case "default":
		return defaultEnctypes()
	case "aes":
		return []int32{aes256, aes128, aes256sha2, aes128sha2}
	case "des3", "des3-cbc-sha1", "des3-hmac-sha1", "des3-cbc-sha1-kd":
		return []int32{des3}
	case "rc4", "arcfour-hmac", "rc4-hmac", "arcfour-hmac-md5":
		return []int32{rc4}
	case "camellia":
		return []int32{camellia256, camellia128}
	case "aes128-cts-hmac-sha1-96", "aes128-cts", "aes128-sha1":
		return []int32{aes128}
	case "aes256-cts-hmac-sha1-96", "aes256-cts", "aes256-sha1":
		return []int32{aes256}
	case "aes128-cts-hmac-sha256-128", "aes128-sha2":
		return []int32{aes128sha2}
	case "aes256-cts-hmac-sha384-192", "aes256-sha2":
		return []int32{aes256sha2}
	case "arcfour-hmac-exp", "rc4-hmac-exp", "arcfour-hmac-md5-exp":
		return []int32{rc4Export}
	case "camellia128-cts-cmac", "camellia128-cts":
		return []int32{camellia128}
	case "camellia256-cts-cmac", "camellia256-cts":
		return []int32{camellia256}
	}
	return nil
}

// enctypeList reads a list of encryption types: names and families between
// blanks and commas, each added at the end or, after a -, taken out. It also
// returns the words that mean nothing and those that named what the gate
// holds back.
func enctypeList(text string, g gate) (list []int32, unknown, held []string) {
	for word := range strings.FieldsFuncSeq(text, func(r rune) bool { return strings.ContainsRune(" \t\r\n,", r) }) {
		name := strings.TrimPrefix(word, "+")
		remove := false
		if name == word {
			name, remove = strings.CutPrefix(word, "-")
		}
		etypes := enctypesOf(name)
		if etypes == nil {
			unknown = append(unknown, name)
		}
		for _, etype := range etypes {
			i := slices.Index(list, etype)
			switch {
			case remove && i >= 0:
				list = slices.Delete(list, i, i+1)
			case remove || i >= 0:
			case g.passes(etype):
				list = append(list, etype)
			case len(etypes) == 1:
				held = append(held, name)
			}
		}
	}
	return list, unknown, held
}

// usable leaves of a list what this module has code for.
func usable(list []int32) []int32 {
	return slices.DeleteFunc(list, func(etype int32) bool {
		switch etype {
		case aes128, aes256, aes128sha2, aes256sha2, rc4:
			return false
		}
		return true
	})
}
