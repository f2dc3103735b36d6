package main

import "fmt"

// text is a message in Indonesian, which officers read, and English.
type text struct{ id, en string }

// say formats a message in the language of the call.
func (a *app) say(t text, args ...any) string {
	format := t.id
	if a.english {
		format = t.en
	}
	return fmt.Sprintf(format, args...)
}

//nolint:gochecknoglobals // the catalogue of messages, never written to
var (
	textHelp = text{
		`sambang - mencatat tanpa sinyal, menyinkronkan saat ada jaringan

  sambang [-dir FOLDER] [-key BERKAS | -plain] [-pack timpora|none] [-lang id|en] PERINTAH

Perintah:`,
		`sambang - record offline, sync when there is a network

  sambang [-dir FOLDER] [-key FILE | -plain] [-pack timpora|none] [-lang id|en] COMMAND

Commands:`,
	}
	textUnknown   = text{"perintah %q tidak dikenal", "unknown command %q"}
	textNoPack    = text{"paket %q tidak dikenal; gunakan timpora atau none", "unknown pack %q; use timpora or none"}
	textPlain     = text{"PERINGATAN: -plain menyimpan data tanpa sandi, hanya untuk percobaan", "WARNING: -plain keeps the data in clear text, for trying things out only"}
	textArguments = text{"argumen tidak sesuai", "wrong arguments"}
	textPair      = text{"%q bukan ISIAN=NILAI", "%q is not FIELD=VALUE"}

	textEnrol     = text{"daftarkan perangkat dengan kode dari pusat", "enrol this device with a code from headquarters"}
	textPut       = text{"buat rekaman; cetak pengenalnya", "make a record; print its id"}
	textEdit      = text{"ubah isian; ISIAN= menghapusnya", "change fields; FIELD= removes one"}
	textDelete    = text{"hapus rekaman", "delete a record"}
	textMove      = text{"pindahkan rekaman ke wilayah lain", "move a record to another region"}
	textList      = text{"daftar rekaman", "list records"}
	textShow      = text{"tampilkan satu rekaman", "show one record"}
	textConflicts = text{"tampilkan isian yang berbeda, siapa dan kapan", "show fields in conflict, who and when"}
	textResolve   = text{"putuskan isian yang berbeda", "decide a conflict"}
	textStatus    = text{"keadaan perangkat dan yang menunggu", "the device's state and what waits"}
	textSync      = text{"kirim dan ambil", "push and pull"}
	textExport    = text{"tulis semua data sebagai NDJSON", "write all data as NDJSON"}

	textEnrolled     = text{"Terdaftar: %s untuk %s (%s)", "Enrolled: %s for %s (%s)"}
	textDevice       = text{"Perangkat %s, petugas %s (%s)", "Device %s, officer %s (%s)"}
	textGrant        = text{"Wilayah %s, kelas %v", "Region %s, classes %v"}
	textCounts       = text{"%d rekaman; %d menunggu dikirim; %d menunggu keputusan pusat; %d dengan isian berbeda", "%d records; %d wait to be sent; %d await a decision; %d with conflicts"}
	textLastSync     = text{"Sinkron terakhir %s", "Last sync %s"}
	textSynced       = text{"Terkirim %d, diterima %d, dikeluarkan %d, berbeda %d, menunggu %d (%d permintaan, %d bita naik, %d turun)", "Pushed %d, pulled %d, evicted %d, conflicts %d, waiting %d (%d requests, %d bytes up, %d down)"}
	textPutAside     = text{"%d rekaman diterima pusat tetapi menunggu keputusan; lihat: sambang status", "%d records were received but await a decision; see: sambang status"}
	textRetry        = text{"Server meminta menunggu %s", "The server asks to wait %s"}
	textInConflict   = text{"[%d isian berbeda]", "[%d conflicts]"}
	textConflictMark = text{"<- berbeda", "<- conflict"}
	textIsDeleted    = text{"(dihapus)", "(deleted)"}
	textUpdated      = text{"Terakhir diubah %s oleh %s", "Last changed %s by %s"}
	textBase         = text{"semula %s", "was %s"}
)
