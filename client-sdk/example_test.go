package sambang_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"

	sambang "github.com/sambang-id/sambang/client-sdk"
	"github.com/sambang-id/sambang/syncproto"
)

// replica opens one in a folder that the example throws away.
func replica() (*sambang.Replica, func()) {
	dir, err := os.MkdirTemp("", "sambang")
	if err != nil {
		log.Fatal(err)
	}
	r, err := sambang.Open(dir, sambang.Options{Plain: true})
	if err != nil {
		log.Fatal(err)
	}
	return r, func() {
		_ = r.Close()
		_ = os.RemoveAll(dir)
	}
}

func ExampleOpen() {
	dir, err := os.MkdirTemp("", "sambang")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	key := make([]byte, sambang.KeySize) // from the phone's keystore
	r, err := sambang.Open(dir, sambang.Options{Key: key})
	if err != nil {
		log.Fatal(err)
	}
	defer r.Close()
	fmt.Println(r.Status().Enrolled)
	// Output: false
}

func ExampleReplica_Create() {
	r, end := replica()
	defer end()
	id, err := r.Create("visit", "35.24.14", sambang.Fields{"name": "Hotel Rekaan", "rooms": 12})
	if err != nil {
		log.Fatal(err)
	}
	rec, err := r.Get(id)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(rec.Fields["name"], rec.Fields["rooms"], rec.Custody)
	// Output: Hotel Rekaan 12 on_phone
}

func ExampleReplica_Edit() {
	r, end := replica()
	defer end()
	id, err := r.Create("visit", "35.24.14", sambang.Fields{"name": "Hotel", "guests": 2})
	if err != nil {
		log.Fatal(err)
	}
	err = r.Edit(id, func(d *sambang.Draft) error {
		d.Set("name", d.Text("name")+" Rekaan")
		d.Remove("guests")
		return nil
	})
	if err != nil {
		log.Fatal(err)
	}
	rec, err := r.Get(id)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(rec.Fields)
	// Output: map[name:Hotel Rekaan]
}

func ExampleReplica_EditSeen() {
	r, end := replica()
	defer end()
	id, err := r.Create("visit", "35.24.14", sambang.Fields{"name": "Hotel"})
	if err != nil {
		log.Fatal(err)
	}
	form, err := r.Get(id) // a form is filled from this
	if err != nil {
		log.Fatal(err)
	}
	rename := func(d *sambang.Draft) error { d.Set("name", "Losmen"); return nil }
	if err := r.Edit(id, rename); err != nil { // meanwhile
		log.Fatal(err)
	}
	err = r.EditSeen(form, func(d *sambang.Draft) error { d.Set("name", "Wisma"); return nil })
	fmt.Println(errors.Is(err, sambang.ErrChanged))
	// Output: true
}

func ExampleReplica_List() {
	r, end := replica()
	defer end()
	for _, region := range []string{"35.24.14", "35.24.15"} {
		if _, err := r.Create("visit", region, sambang.Fields{"name": "in " + region}); err != nil {
			log.Fatal(err)
		}
	}
	for rec, err := range r.List(sambang.Filter{Region: "35.24.15"}) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(rec.Fields["name"])
	}
	// Output: in 35.24.15
}

func ExampleReplica_Sync() {
	r, end := replica()
	defer end()
	if _, err := r.Create("visit", "35.24.14", nil); err != nil {
		log.Fatal(err)
	}
	_, err := r.Sync(context.Background())
	switch {
	case errors.Is(err, syncproto.CodeNotEnrolled):
		fmt.Println("scan a code first;", r.Counts().Waiting, "waits")
	case errors.Is(err, syncproto.CodeOffline):
		fmt.Println("no signal; the data waits")
	case err != nil:
		fmt.Println(syncproto.CodeOf(err).Text().Indonesian)
	}
	// Output: scan a code first; 1 waits
}

func ExampleReplica_Conflicts() {
	r, end := replica()
	defer end()
	id, err := r.Create("visit", "35.24.14", sambang.Fields{"name": "Hotel"})
	if err != nil {
		log.Fatal(err)
	}
	conflicts, err := r.Conflicts(id)
	if err != nil {
		log.Fatal(err)
	}
	for _, c := range conflicts {
		for _, v := range c.Values {
			fmt.Println(c.Field, v.Value, v.By.Officer, v.At)
		}
		if err := r.Resolve(id, c.Path, c.Values[0].Value); err != nil {
			log.Fatal(err)
		}
	}
	fmt.Println(len(conflicts))
	// Output: 0
}

func ExampleTyped() {
	type visit struct {
		Name  string `json:"name"`
		Rooms int    `json:"rooms,omitempty"`
	}
	r, end := replica()
	defer end()
	visits := sambang.Typed[visit](r, "visit")
	id, err := visits.Create("35.24.14", visit{Name: "Hotel Rekaan"})
	if err != nil {
		log.Fatal(err)
	}
	if err := visits.Edit(id, func(v *visit) error { v.Rooms = 12; return nil }); err != nil {
		log.Fatal(err)
	}
	v, _, err := visits.Get(id)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(v.Name, v.Rooms)
	// Output: Hotel Rekaan 12
}

func ExampleReplica_Export() {
	r, end := replica()
	defer end()
	if err := r.Export(os.Stdout, sambang.Filter{}); err != nil {
		log.Fatal(err)
	}
	// Output:
}
