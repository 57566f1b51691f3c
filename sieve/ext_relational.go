package sieve

import (
	"fmt"
	"strings"
)

// relationalExt is RFC 5231.
var relationalExt = Extension{
	Name: "relational",
	Tags: []TagFor{
		{AnyMatch, Tag{Name: "value", Class: matchType, Arg: StringArg, Const: true, Match: &valueMatch}},
		{AnyMatch, Tag{Name: "count", Class: matchType, Arg: StringArg, Const: true, Match: &countMatch}},
	},
}

var (
	valueMatch = MatchType{Arg: checkRelation, Prepare: prepareRelation}
	countMatch = MatchType{Arg: checkRelation, Prepare: prepareRelation, Count: true}
)

// relations say whether a value that compares so with the key matches.
var relations = map[string]func(order int) bool{
	"gt": func(o int) bool { return o > 0 },
	"ge": func(o int) bool { return o >= 0 },
	"lt": func(o int) bool { return o < 0 },
	"le": func(o int) bool { return o <= 0 },
	"eq": func(o int) bool { return o == 0 },
	"ne": func(o int) bool { return o != 0 },
}

func checkRelation(arg string) error {
	if relations[foldASCII(arg)] == nil {
		return fmt.Errorf("%s is no relation; write one of \"gt\", \"ge\", \"lt\", \"le\", \"eq\", \"ne\"", quote(arg))
	}
	return nil
}

func prepareRelation(cmp *Comparator, arg, key string) (Pattern, error) {
	holds := relations[foldASCII(arg)]
	if cmp.Order == nil && cmp.Fold != nil {
		key = cmp.Fold(key)
		return func(rt *Runtime, value string) (bool, error) {
			v := Value{Text: value}
			text, err := v.fold(rt, cmp)
			return err == nil && holds(strings.Compare(text, key)), err
		}, nil
	}
	return func(rt *Runtime, value string) (bool, error) {
		return holds(cmp.compare(value, key)), rt.Scan(len(key))
	}, nil
}
