package krb

import "time"

// MakeEncTimestamp returns PA-ENC-TIMESTAMP: EncryptedData of PA-ENC-TS-ENC under a
// client's key (RFC 4120 section 5.2.7.2).
func MakeEncTimestamp(key Key, ctime time.Time, cusec int) ([]byte, error) {
	return sealTimestamp(key, UsagePAEncTimestamp, ctime, cusec)
}

// MakeEncChallenge returns EncryptedChallenge, which has the form of PA-ENC-TIMESTAMP
// under a key and a usage of its own (RFC 6113 section 5.4.6).
func MakeEncChallenge(key Key, usage uint32, ctime time.Time, cusec int) ([]byte, error) {
	return sealTimestamp(key, usage, ctime, cusec)
}

func sealTimestamp(key Key, usage uint32, ctime time.Time, cusec int) ([]byte, error) {
	var w Writer
	w.sealed(key, 0, usage, func() {
		w.Sequence(func() {
			w.Int(1, int64(cusec))
			w.Time(0, ctime)
		})
	})
	return w.Result()
}

// OpenEncTimestamp returns the time in a PA-ENC-TIMESTAMP. Errors wrap
// [ErrMalformed] where the key fits.
func OpenEncTimestamp(key Key, ed EncryptedData) (time.Time, error) {
	return openTimestamp(key, UsagePAEncTimestamp, ed)
}

// OpenEncChallenge is [OpenEncTimestamp] for an EncryptedChallenge.
func OpenEncChallenge(key Key, usage uint32, ed EncryptedData) (time.Time, error) {
	return openTimestamp(key, usage, ed)
}

func openTimestamp(key Key, usage uint32, ed EncryptedData) (time.Time, error) {
	plain, err := key.OpenData(usage, ed)
	if err != nil {
		return time.Time{}, err
	}
	f := OpenFields("timestamp", plain)
	at := f.Time(0)
	if f.Has(1) {
		at = at.Add(time.Duration(f.Microseconds(1)) * time.Microsecond)
	}
	return at, f.Err(true)
}
