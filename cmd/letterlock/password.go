package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"golang.org/x/term"

	"letterlock/internal/auth"
)

// maxPassword bounds a password, in octets.
const maxPassword = 1024

func passwordFlag(f *flag.FlagSet) *bool {
	return f.Bool("password-stdin", false, "read the password from standard input, one line")
}

// source says where a password comes from.
type source uint8

const (
	asked     source = iota // on the terminal, twice, without echo
	firstLine               // of standard input
)

func passwordSource(fromStdin *bool) source {
	if *fromStdin {
		return firstLine
	}
	return asked
}

// newCredentials reads a new password for address and derives what the store
// keeps of it. The password itself goes nowhere.
func newCredentials(c *call, address string, from source) ([]byte, error) {
	password, err := readPassword(c, address, from)
	if err != nil {
		return nil, err
	}
	credentials, err := auth.NewCredentials(password)
	if err != nil {
		return nil, withHint(fmt.Errorf("take the password: %w", err), "letters, digits, signs and spaces of any language will do; control characters will not")
	}
	return credentials, nil
}

func readPassword(c *call, address string, from source) (string, error) {
	if from == firstLine {
		return lineOf(c.in)
	}
	tty, ok := terminal(c.in)
	if !ok {
		return "", &usageError{"standard input is no terminal to ask for the password on",
			"pass it with --password-stdin: printf '%s\\n' \"$PASSWORD\" | letterlock …"}
	}
	first, err := ask(tty, c.err, "Password for "+address+": ")
	if err != nil {
		return "", err
	}
	second, err := ask(tty, c.err, "Once more: ")
	if err != nil {
		return "", err
	}
	if first != second {
		return "", errors.New("the two passwords differ")
	}
	return checked(first)
}

func lineOf(r io.Reader) (string, error) {
	line, err := bufio.NewReader(io.LimitReader(r, maxPassword+2)).ReadString('\n')
	if err != nil && err != io.EOF {
		return "", fmt.Errorf("read the password: %w", err)
	}
	return checked(strings.TrimRight(line, "\r\n"))
}

func checked(password string) (string, error) {
	switch {
	case password == "":
		return "", errors.New("the password is empty")
	case len(password) > maxPassword:
		return "", fmt.Errorf("the password is longer than %d octets", maxPassword)
	}
	return password, nil
}

// ask reads a line off the terminal without showing it. Somebody who changes
// his mind gets back a terminal that shows what he types.
func ask(tty *os.File, w io.Writer, prompt string) (string, error) {
	before, err := term.GetState(int(tty.Fd()))
	if err != nil {
		return "", fmt.Errorf("read the password: %w", err)
	}
	interrupted, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	asked := context.AfterFunc(interrupted, func() {
		_ = term.Restore(int(tty.Fd()), before)
		fmt.Fprintln(w)
		os.Exit(exitNo)
	})
	defer asked()
	fmt.Fprint(w, prompt)
	secret, err := term.ReadPassword(int(tty.Fd()))
	fmt.Fprintln(w)
	if err != nil {
		return "", fmt.Errorf("read the password: %w", err)
	}
	return string(secret), nil
}
