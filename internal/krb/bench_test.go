package krb

import (
	"testing"

	"github.com/jcmturner/gokrb5/v8/crypto"
	"github.com/jcmturner/gokrb5/v8/crypto/etype"
)

// An authenticator with subkey and checksum is about this long.
const benchSize = 250

func benchEtypes(b *testing.B, ours func(b *testing.B, key Key), theirs func(b *testing.B, e etype.EType, key []byte)) {
	for _, id := range allEtypes {
		b.Run(EtypeName(id)+"/krb", func(b *testing.B) {
			b.ReportAllocs()
			ours(b, testKey(id))
		})
		b.Run(EtypeName(id)+"/gokrb5", func(b *testing.B) {
			b.ReportAllocs()
			theirs(b, must(crypto.GetEtype(id)), testKey(id).Bytes())
		})
	}
}

func BenchmarkSeal(b *testing.B) {
	plain := pattern(benchSize)
	benchEtypes(b, func(b *testing.B, key Key) {
		for b.Loop() {
			if _, err := key.Seal(UsageAPReqAuth, plain); err != nil {
				b.Fatal(err)
			}
		}
	}, func(b *testing.B, e etype.EType, key []byte) {
		for b.Loop() {
			if _, _, err := e.EncryptMessage(key, plain, UsageAPReqAuth); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkOpen(b *testing.B) {
	benchEtypes(b, func(b *testing.B, key Key) {
		sealed := must(key.Seal(UsageAPRepEncPart, pattern(benchSize)))
		for b.Loop() {
			if _, err := key.Open(UsageAPRepEncPart, sealed); err != nil {
				b.Fatal(err)
			}
		}
	}, func(b *testing.B, e etype.EType, key []byte) {
		_, sealed, err := e.EncryptMessage(key, pattern(benchSize), UsageAPRepEncPart)
		if err != nil {
			b.Fatal(err)
		}
		for b.Loop() {
			if _, err := e.DecryptMessage(key, sealed, UsageAPRepEncPart); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkChecksum(b *testing.B) {
	data := pattern(benchSize)
	benchEtypes(b, func(b *testing.B, key Key) {
		for b.Loop() {
			if _, err := key.Checksum(UsageTGSReqChecksum, data); err != nil {
				b.Fatal(err)
			}
		}
	}, func(b *testing.B, e etype.EType, key []byte) {
		for b.Loop() {
			if _, err := e.GetChecksumHash(key, data, UsageTGSReqChecksum); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkFirstSeal is Seal with the derivation of its keys.
func BenchmarkFirstSeal(b *testing.B) {
	value := testKey(AES256SHA1).Bytes()
	plain := pattern(benchSize)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := must(NewKey(AES256SHA1, value)).Seal(UsageAPReqAuth, plain); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkUniqueTime(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		UniqueTime(someDay)
	}
}
