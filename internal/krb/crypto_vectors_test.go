package krb

import (
	"crypto/aes"
	"encoding/binary"
	"strings"
	"testing"
)

// RFC 3962 appendix B: CBC with ciphertext stealing, key "chicken teriyaki",
// zero initial vector.
func TestCiphertextStealingVectors(t *testing.T) {
	block := must(aes.NewCipher([]byte("chicken teriyaki")))
	const text = "I would like the General Gau's Chicken, please, and wonton soup."
	for n, want := range map[int]string{
		17: "c6353568f2bf8cb4d8a580362da7ff7f97",
		31: "fc00783e0efdb2c1d445d4c8eff7ed2297687268d6ecccc0c07b25e25ecfe5",
		32: "39312523a78662d5be7fcbcc98ebf5a897687268d6ecccc0c07b25e25ecfe584",
		47: "97687268d6ecccc0c07b25e25ecfe584b3fffd940c16a18c1b5549d2f838029e39312523a78662d5be7fcbcc98ebf5",
		48: "97687268d6ecccc0c07b25e25ecfe5849dad8bbb96c4cdc03bc103e1a194bbd839312523a78662d5be7fcbcc98ebf5a8",
		64: "97687268d6ecccc0c07b25e25ecfe58439312523a78662d5be7fcbcc98ebf5a84807efe836ee89a526730dbc2f7bc8409dad8bbb96c4cdc03bc103e1a194bbd8",
	} {
		b := []byte(text[:n])
		(&cts{block: block}).encrypt(b)
		sameBytes(t, "encrypted", b, unhex(want))
		b = unhex(want)
		(&cts{block: block}).decrypt(b)
		sameBytes(t, "decrypted", b, []byte(text[:n]))
	}
}

func params(iterations uint32) []byte { return binary.BigEndian.AppendUint32(nil, iterations) }

func TestStringToKeyVectors(t *testing.T) {
	const gClef = "\U0001d11e"
	x64 := strings.Repeat("X", 64)
	x65 := strings.Repeat("X", 65)
	rfc3962Salt := string(unhex("1234567878563412"))
	rfc8009Salt := string(unhex("10df9dd783e5bc8acea1730e74355f61")) + "ATHENA.MIT.EDUraeburn"
	for name, tc := range map[string]struct {
		etype          int32
		password, salt string
		params         []byte
		want           string
	}{
		// RFC 3962 appendix B.
		"1 iteration, 128":         {17, "password", "ATHENA.MIT.EDUraeburn", params(1), "42263c6e89f4fc28b8df68ee09799f15"},
		"1 iteration, 256":         {18, "password", "ATHENA.MIT.EDUraeburn", params(1), "fe697b52bc0d3ce14432ba036a92e65bbb52280990a2fa27883998d72af30161"},
		"2 iterations, 128":        {17, "password", "ATHENA.MIT.EDUraeburn", params(2), "c651bf29e2300ac27fa469d693bdda13"},
		"2 iterations, 256":        {18, "password", "ATHENA.MIT.EDUraeburn", params(2), "a2e16d16b36069c135d5e9d2e25f896102685618b95914b467c67622225824ff"},
		"1200 iterations, 128":     {17, "password", "ATHENA.MIT.EDUraeburn", params(1200), "4c01cd46d632d01e6dbe230a01ed642a"},
		"1200 iterations, 256":     {18, "password", "ATHENA.MIT.EDUraeburn", params(1200), "55a6ac740ad17b4846941051e1e8b0a7548d93b0ab30a8bc3ff16280382b8c2a"},
		"binary salt, 128":         {17, "password", rfc3962Salt, params(5), "e9b23d52273747dd5c35cb55be619d8e"},
		"binary salt, 256":         {18, "password", rfc3962Salt, params(5), "97a4e786be20d81a382d5ebc96d5909cabcdadc87ca48f574504159f16c36e31"},
		"phrase of a block, 128":   {17, x64, "pass phrase equals block size", params(1200), "59d1bb789a828b1aa54ef9c2883f69ed"},
		"phrase of a block, 256":   {18, x64, "pass phrase equals block size", params(1200), "89adee3608db8bc71f1bfbfe459486b05618b70cbae22092534e56c553ba4b34"},
		"phrase over a block, 128": {17, x65, "pass phrase exceeds block size", params(1200), "cb8005dc5f90179a7f02104c0018751d"},
		"phrase over a block, 256": {18, x65, "pass phrase exceeds block size", params(1200), "d78c5c9cb872a8c9dad4697f0bb5b2d21496c82beb2caeda2112fceea057401b"},
		"g-clef, 128":              {17, gClef, "EXAMPLE.COMpianist", params(50), "f149c1f2e154a73452d43e7fe62a56e5"},
		"g-clef, 256":              {18, gClef, "EXAMPLE.COMpianist", params(50), "4b6d9839f84406df1f09cc166db4b83c571848b784a3d6bdc346589a3e393f9e"},
		// RFC 8009 appendix A, given and by default.
		"sha256, 32768":   {19, "password", rfc8009Salt, params(32768), "089bca48b105ea6ea77ca5d2f39dc5e7"},
		"sha256, default": {19, "password", rfc8009Salt, nil, "089bca48b105ea6ea77ca5d2f39dc5e7"},
		"sha384, 32768":   {20, "password", rfc8009Salt, params(32768), "45bd806dbf6a833a9cffc1c94589a222367a79bc21c413718906e9f578a78467"},
		"sha384, default": {20, "password", rfc8009Salt, nil, "45bd806dbf6a833a9cffc1c94589a222367a79bc21c413718906e9f578a78467"},
		// RFC 4757 section 2, MD4 of UTF-16LE; salt and parameters do not count.
		"rc4 foo":           {23, "foo", "", nil, "ac8e657f83df82beea5d43bdaf7800cc"},
		"rc4 foo, salted":   {23, "foo", "EXAMPLE.TESTalice", nil, "ac8e657f83df82beea5d43bdaf7800cc"},
		"rc4 empty":         {23, "", "", nil, "31d6cfe0d16ae931b73c59d7e0c089c0"},
		"rc4 Latin-1":       {23, "é", "", nil, "e77286d072c7858e9110cc3a011d2ac8"},
		"rc4 surrogate":     {23, gClef, "", nil, "78d54ecb6cc7c823f8b6d7acf67bf657"},
		"rc4 odd parameter": {23, "foo", "", []byte{1}, "ac8e657f83df82beea5d43bdaf7800cc"},
	} {
		t.Run(name, func(t *testing.T) {
			k, err := StringToKey(tc.etype, tc.password, tc.salt, tc.params)
			if err != nil {
				t.Fatal(err)
			}
			sameBytes(t, "key", k.Bytes(), unhex(tc.want))
			if k.Etype() != tc.etype {
				t.Errorf("etype %d, want %d", k.Etype(), tc.etype)
			}
		})
	}
}

func TestStringToKeyDefaultIterations(t *testing.T) {
	for etype, n := range map[int32]uint32{17: 4096, 18: 4096, 19: 32768, 20: 32768} {
		short := must(StringToKey(etype, "password", "salt", nil))
		long := must(StringToKey(etype, "password", "salt", params(n)))
		if !short.Equal(long) {
			t.Errorf("%s: the default is not %d iterations", EtypeName(etype), n)
		}
	}
}

func TestStringToKeyRefuses(t *testing.T) {
	for name, tc := range map[string]struct {
		etype  int32
		params []byte
	}{
		"zero iterations, which mean 2^32": {18, params(0)},
		"one more than allowed":            {18, params(MaxIterations + 1)},
		"as many as fit":                   {20, params(1<<32 - 1)},
		"short":                            {17, []byte{0, 0, 16}},
		"long":                             {19, []byte{0, 0, 0, 16, 0}},
		"unknown etype":                    {99, nil},
		"etype zero":                       {0, nil},
		"negative etype":                   {-128, nil},
		"known to the library, not to us":  {16, nil},
	} {
		t.Run(name, func(t *testing.T) {
			k, err := StringToKey(tc.etype, "password", "salt", tc.params)
			if err == nil || !k.IsZero() {
				t.Errorf("got %v, %v; want an error", k, err)
			}
			if err != nil && strings.Contains(err.Error(), "password") {
				t.Errorf("the error shows the password: %v", err)
			}
		})
	}
}

// RFC 8009 appendix A: derived keys, encryption, checksums; key usage 2.
func TestRFC8009Vectors(t *testing.T) {
	key128 := must(NewKey(AES128SHA256, unhex("3705d96080c17728a0e800eab6e0d23c")))
	key256 := must(NewKey(AES256SHA384, unhex("6d404d37faf79f9df0d33568d320669800eb4836472ea8a026d16b7182460c52")))
	ke128 := "9b197dd1e8c5609d6e67c3e37c62c72e"
	ke256 := "56ab22bee63d82d7bc5227f6773f8ea7a5eb1c825160c38312980c442e5c7e49"
	for name, tc := range map[string]struct {
		key                                Key
		ke, confounder, plain, cipher, mac string
	}{
		"128, empty":          {key128, ke128, "7e5895eaf2672435bad817f545a37148", "", "ef85fb890bb8472f4dab20394dca781d", "ad877eda39d50c870c0d5a0a8e48c718"},
		"128, part block":     {key128, ke128, "7bca285e2fd4130fb55b1a5c83bc5b24", "000102030405", "84d7f30754ed987bab0bf3506beb09cfb55402cef7e6", "877ce99e247e52d16ed4421dfdf8976c"},
		"128, a block":        {key128, ke128, "56ab21713ff62c0a1457200f6fa9948f", "000102030405060708090a0b0c0d0e0f", "3517d640f50ddc8ad3628722b3569d2ae07493fa8263254080ea65c1008e8fc2", "95fb4852e7d83e1e7c48c37eebe6b0d3"},
		"128, block and part": {key128, ke128, "a7a4e29a4728ce10664fb64e49ad3fac", "000102030405060708090a0b0c0d0e0f1011121314", "720f73b18d9859cd6ccb4346115cd336c70f58edc0c4437c5573544c31c813bce1e6d072c1", "86b39a413c2f92ca9b8334a287ffcbfc"},
		"256, empty":          {key256, ke256, "f764e9fa15c276478b2c7d0c4e5f58e4", "", "41f53fa5bfe7026d91faf9be959195a0", "58707273a96a40f0a01960621ac612748b9bbfbe7eb4ce3c"},
		"256, part block":     {key256, ke256, "b80d3251c1f6471494256ffe712d0b9a", "000102030405", "4ed7b37c2bcac8f74f23c1cf07e62bc7b75fb3f637b9", "f559c7f664f69eab7b6092237526ea0d1f61cb20d69d10f2"},
		"256, a block":        {key256, ke256, "53bf8a0d105265d4e276428624ce5e63", "000102030405060708090a0b0c0d0e0f", "bc47ffec7998eb91e8115cf8d19dac4bbbe2e163e87dd37f49beca92027764f6", "8cf51f14d798c2273f35df574d1f932e40c4ff255b36a266"},
		"256, block and part": {key256, ke256, "763e65367e864f02f55153c7e3b58af1", "000102030405060708090a0b0c0d0e0f1011121314", "40013e2df58e8751957d2878bcd2d6fe101ccfd556cb1eae79db3c3ee86429f2b2a602ac86", "fef6ecb647d6295fae077a1feb517508d2c16b4192e01f62"},
	} {
		t.Run(name, func(t *testing.T) {
			plain, err := tc.key.Open(2, append(unhex(tc.cipher), unhex(tc.mac)...))
			if err != nil {
				t.Fatal(err)
			}
			sameBytes(t, "plain", plain, unhex(tc.plain))

			// The other direction, with the confounder of the vector.
			body := append(unhex(tc.confounder), unhex(tc.plain)...)
			(&cts{block: must(aes.NewCipher(unhex(tc.ke)))}).encrypt(body)
			sameBytes(t, "cipher", body, unhex(tc.cipher))
			h := &must(tc.key.m.sealer(2)).get().mac
			h.Write(zeroBlock[:])
			h.Write(body)
			sameBytes(t, "mac", h.sum(tc.key.MACSize()), unhex(tc.mac))
		})
	}
	data := pattern(0)
	for i := range 21 {
		data = append(data, byte(i))
	}
	for want, key := range map[string]Key{
		"d78367186643d67b411cba9139fc1dee":                 key128,
		"45ee791567eefca37f4ac1e0222de80d43c3bfa06699672a": key256,
	} {
		sameBytes(t, "checksum", must(key.Checksum(2, data)), unhex(want))
	}
}
