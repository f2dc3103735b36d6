// Command quickstart is the least that embeds Sambang: it records a visit
// offline, lists what it has, and, given an enrolment code, syncs.
//
//	go run ./examples/quickstart
//	go run ./examples/quickstart 'sambang:1?u=…'     the code from: sambangd enrol
package main

import (
	"context"
	"fmt"
	"log"
	"os"

	sambang "github.com/sambang-id/sambang/client-sdk"
)

func main() {
	r, err := sambang.Open("quickstart-data", sambang.Options{Plain: true}) // a real app gives Key
	check(err)
	defer r.Close()

	_, err = r.Create("visit", "35.24.14", sambang.Fields{"name": "Hotel Rekaan", "rooms": 12})
	check(err)
	if len(os.Args) > 1 {
		check(r.Enrol(context.Background(), os.Args[1], "quickstart"))
		report, err := r.Sync(context.Background())
		check(err)
		fmt.Printf("pushed %d, pulled %d\n", report.Pushed, report.Pulled)
	}
	for rec, err := range r.List(sambang.Filter{Kind: "visit"}) {
		check(err)
		fmt.Println(rec.ID, rec.Fields["name"], rec.Custody)
	}
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
