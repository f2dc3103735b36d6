package syncproto_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sambang-id/sambang/syncproto"
)

func TestMRZOfTheICAOSpecimens(t *testing.T) {
	for _, c := range []struct {
		name, text string
		want       syncproto.MRZ
	}{
		{"passport, 9303-4", "P<UTOERIKSSON<<ANNA<MARIA<<<<<<<<<<<<<<<<<<<\nL898902C36UTO7408122F1204159ZE184226B<<<<<10", syncproto.MRZ{
			Format: "TD3", Document: "P", Issuer: "UTO", Number: "L898902C3", Nationality: "UTO",
			BirthDate: "740812", Sex: "F", ExpiryDate: "120415", Surname: "ERIKSSON", GivenNames: "ANNA MARIA",
		}},
		{"card, 9303-5", "I<UTOD231458907<<<<<<<<<<<<<<<\n7408122F1204159UTO<<<<<<<<<<<6\nERIKSSON<<ANNA<MARIA<<<<<<<<<<", syncproto.MRZ{
			Format: "TD1", Document: "I", Issuer: "UTO", Number: "D23145890", Nationality: "UTO",
			BirthDate: "740812", Sex: "F", ExpiryDate: "120415", Surname: "ERIKSSON", GivenNames: "ANNA MARIA",
		}},
		{"card with a long number, 9303-5", "I<UTOD23145890<7349<<<<<<<<<<<\n3407127M9507122UTO<<<<<<<<<<<2\nSTEVENSON<<PETER<JOHN<<<<<<<<<", syncproto.MRZ{
			Format: "TD1", Document: "I", Issuer: "UTO", Number: "D23145890734", Nationality: "UTO",
			BirthDate: "340712", Sex: "M", ExpiryDate: "950712", Surname: "STEVENSON", GivenNames: "PETER JOHN",
		}},
		{"document, 9303-6", "I<UTOERIKSSON<<ANNA<MARIA<<<<<<<<<<<\nD231458907UTO7408122F1204159<<<<<<<6", syncproto.MRZ{
			Format: "TD2", Document: "I", Issuer: "UTO", Number: "D23145890", Nationality: "UTO",
			BirthDate: "740812", Sex: "F", ExpiryDate: "120415", Surname: "ERIKSSON", GivenNames: "ANNA MARIA",
		}},
		{"visa, 9303-7", "V<UTOERIKSSON<<ANNA<MARIA<<<<<<<<<<<<<<<<<<<\nL8988901C4XXX4009078F96121096ZE184226B<<<<<<", syncproto.MRZ{
			Format: "MRV-A", Document: "V", Issuer: "UTO", Number: "L8988901C", Nationality: "XXX",
			BirthDate: "400907", Sex: "F", ExpiryDate: "961210", Surname: "ERIKSSON", GivenNames: "ANNA MARIA",
		}},
		{"Germany's code, sample TS-16", "P<D<<WEBER<<LUKAS<<<<<<<<<<<<<<<<<<<<<<<<<<<\nZC01X00T48D<<8502142M2910013<<<<<<<<<<<<<<<8", syncproto.MRZ{
			Format: "TD3", Document: "P", Issuer: "D", Number: "ZC01X00T4", Nationality: "D",
			BirthDate: "850214", Sex: "M", ExpiryDate: "291001", Surname: "WEBER", GivenNames: "LUKAS",
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := syncproto.ParseMRZ(strings.Split(c.text, "\n")...)
			if err != nil || !got.Valid() {
				t.Fatalf("%v, failed %v", err, got.Failed)
			}
			if d := cmp.Diff(c.want, got); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestMRZFindsMisreadCharacters(t *testing.T) {
	const first, second = "P<UTOERIKSSON<<ANNA<MARIA<<<<<<<<<<<<<<<<<<<", "L898902C36UTO7408122F1204159ZE184226B<<<<<10"
	for at, want := range map[int]string{1: "number", 9: "number", 13: "birth_date", 21: "expiry_date", 30: "optional", 43: "composite"} {
		b := []byte(second)
		b[at] = '0' + (b[at]-'0'+1)%10
		got, err := syncproto.ParseMRZ(first, string(b))
		if err != nil || !slices.Contains(got.Failed, want) {
			t.Errorf("changed at %d: %v, %v, want %s", at, got.Failed, err, want)
		}
	}
	// The digits are modulo 10: L for 1 passes. So a valid MRZ is strong
	// evidence, not proof.
	if got, err := syncproto.ParseMRZ(first, "1"+second[1:]); err != nil || !got.Valid() {
		t.Errorf("L for 1: %v, %v", got.Failed, err)
	}
	for _, lines := range [][]string{nil, {first}, {first, second[:43]}, {first, second + "<"}, {first, strings.ToLower(second)}, {"", ""}} {
		if _, err := syncproto.ParseMRZ(lines...); err == nil {
			t.Errorf("%q is an MRZ", lines)
		}
	}
}
