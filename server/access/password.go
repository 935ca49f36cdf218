package access

import (
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/xdg-go/stringprep"

	"github.com/quipudb/quipu/storage/schema"
)

// NewVerifier is what is kept of a password: a verifier as PostgreSQL writes it is read, anything else is a password and gets a new
// salt. The password itself is kept nowhere.
func NewVerifier(password string) (schema.Verifier, error) {
	if v, ok := ParseVerifier(password); ok {
		return v, v.Validate()
	}
	if strings.HasPrefix(password, "md5") && len(password) == 35 {
		return schema.Verifier{}, errors.New("md5 passwords are not supported: give the password itself, or a SCRAM-SHA-256 verifier")
	}
	salt := make([]byte, 16)
	rand.Read(salt)
	return derive(password, salt, schema.IterationsMin)
}

// derive is RFC 5802's, over SHA-256.
func derive(password string, salt []byte, iterations int) (schema.Verifier, error) {
	salted, err := pbkdf2.Key(sha256.New, prepared(password), salt, iterations, sha256.Size)
	if err != nil {
		return schema.Verifier{}, err
	}
	stored := sha256.Sum256(sign(salted, "Client Key"))
	return schema.Verifier{Iterations: iterations, Salt: salt, StoredKey: stored[:], ServerKey: sign(salted, "Server Key")}, nil
}

func sign(key []byte, text string) []byte {
	m := hmac.New(sha256.New, key)
	m.Write([]byte(text))
	return m.Sum(nil)
}

// prepared brings a password to the form that clients prove; one that has none stays as it is, as in PostgreSQL.
func prepared(password string) string {
	if p, err := stringprep.SASLprep.Prepare(password); err == nil {
		return p
	}
	return password
}

// Proves reports whether v is of password. It takes as long for a wrong one as for a right one.
func Proves(v schema.Verifier, password string) bool {
	got, err := derive(password, v.Salt, v.Iterations)
	return err == nil && subtle.ConstantTimeCompare(got.StoredKey, v.StoredKey) == 1
}

// FormatVerifier is what ParseVerifier reads.
func FormatVerifier(v schema.Verifier) string {
	b64 := base64.StdEncoding.EncodeToString
	return fmt.Sprintf("SCRAM-SHA-256$%d:%s$%s:%s", v.Iterations, b64(v.Salt), b64(v.StoredKey), b64(v.ServerKey))
}

// ParseVerifier reads SCRAM-SHA-256$iterations:salt$stored key:server key, the form in which PostgreSQL's clients send a password
// that they have hashed themselves.
func ParseVerifier(text string) (v schema.Verifier, ok bool) {
	rest, ok := strings.CutPrefix(text, "SCRAM-SHA-256$")
	if !ok {
		return v, false
	}
	params, keys, ok1 := strings.Cut(rest, "$")
	iterations, salt, ok2 := strings.Cut(params, ":")
	stored, server, ok3 := strings.Cut(keys, ":")
	if !ok1 || !ok2 || !ok3 {
		return v, false
	}
	n, err := strconv.ParseInt(iterations, 10, 32)
	if err != nil {
		return v, false
	}
	v.Iterations = int(n)
	for _, field := range []struct {
		to   *[]byte
		text string
	}{{&v.Salt, salt}, {&v.StoredKey, stored}, {&v.ServerKey, server}} {
		if *field.to, err = base64.StdEncoding.DecodeString(field.text); err != nil {
			return v, false
		}
	}
	return v, true
}

// tokenPrefix shows what a token is to people and to programs that look for leaked ones.
const tokenPrefix = "quipu_"

// NewToken makes the text of a token, of 256 random bits, and the hash under which it is known.
func NewToken() (text string, hash [32]byte) {
	var b [32]byte
	rand.Read(b[:])
	text = tokenPrefix + base64.RawURLEncoding.EncodeToString(b[:])
	return text, HashToken(text)
}

// HashToken is what is kept of a token. It needs no salt: nobody can try 2²⁵⁶ texts.
func HashToken(text string) [32]byte { return sha256.Sum256([]byte(text)) }
