package stagetest

import (
	"bytes"
	"fmt"
	"reflect"
	"strings"
)

// Dumped returns where in v a dumper that goes by package reflect, as go-spew does, would
// come upon a secret, empty for nowhere. It follows pointers, interfaces, maps and what is
// in fields, exported or not, but for what net/http has of connections, at which goroutines
// of its own are at work.
func Dumped(v any, secret []byte) (where string) {
	d := dumper{secret: secret, seen: make(map[seen]bool)}
	d.walk(reflect.ValueOf(v), "")
	return d.found
}

type dumper struct {
	secret []byte
	seen   map[seen]bool
	found  string
}

type seen struct {
	at uintptr
	of reflect.Type
}

func (d *dumper) walk(v reflect.Value, path string) {
	if !v.IsValid() || d.found != "" {
		return
	}
	path += "/" + v.Type().String()
	switch v.Kind() {
	case reflect.String:
		if strings.Contains(v.String(), string(d.secret)) {
			d.found = path
		}
	case reflect.Pointer, reflect.Interface:
		if v.Kind() == reflect.Pointer {
			key := seen{v.Pointer(), v.Type()}
			if d.seen[key] {
				return
			}
			d.seen[key] = true
		}
		d.walk(v.Elem(), path)
	case reflect.Struct:
		switch path[strings.LastIndexByte(path, '/')+1:] {
		case "http.Transport", "http.bodyEOFSignal":
			return
		}
		for i := range v.NumField() {
			d.walk(v.Field(i), path+"."+v.Type().Field(i).Name)
		}
	case reflect.Map:
		for i := v.MapRange(); i.Next(); {
			d.walk(i.Key(), path)
			d.walk(i.Value(), path)
		}
	case reflect.Slice, reflect.Array:
		var b bytes.Buffer
		for i := range v.Len() {
			if e := v.Index(i); e.Kind() == reflect.Uint8 {
				b.WriteByte(byte(e.Uint()))
			} else {
				d.walk(e, fmt.Sprintf("%s[%d]", path, i))
			}
		}
		if bytes.Contains(b.Bytes(), d.secret) {
			d.found = path
		}
	}
}
