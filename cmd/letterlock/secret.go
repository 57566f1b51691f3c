package main

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// secretSize is how many octets a secret of ours has.
const secretSize = 32

// keptSecret reads a secret that lasts from start to start, and makes it where
// there is none. One that a crash left short is made anew.
func keptSecret(file string) ([]byte, error) {
	secret, err := os.ReadFile(file)
	if err == nil && len(secret) == secretSize {
		return secret, nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("secret: %w", err)
	}
	secret = make([]byte, secretSize)
	rand.Read(secret)
	if err := os.WriteFile(file, secret, 0o600); err != nil {
		return nil, fmt.Errorf("secret: %w", err)
	}
	return secret, nil
}
