package workload

// The lists below are the original's. They are only read; their order is part of the format, since a
// record is made of positions in them.
var (
	syllables = []string{"ba", "ri", "tan", "vo", "len", "du", "mi", "ska", "ro", "we", "jin", "pa", "nor", "ti", "gal", "he", "zu", "mar", "ol", "ki"}
	agencies  = []string{"Imigrasi", "Kepolisian", "Dinas Tenaga Kerja", "Kesbangpol", "Satpol PP", "BAIS", "Dukcapil", "Kejaksaan"}
	nations   = []string{"CHN", "KOR", "JPN", "IND", "MYS", "AUS", "NLD", "TWN", "VNM", "PHL"}
	permits   = []string{"ITAS", "ITAP", "ITK", "VOA"}
	checks    = []string{
		"Paspor asli ditunjukkan", "Izin tinggal masih berlaku", "Sponsor sesuai data", "Jabatan sesuai RPTKA",
		"Laporan tamu asing lengkap", "Alamat tinggal sesuai", "Kontrak kerja tersedia", "Bukti pajak tersedia",
		"Tenaga pendamping tersedia", "Papan nama perusahaan terpasang",
	}
	notes    = []string{"", "", "", "", "perlu salinan", "menyusul", "berkas buram", "dijanjikan pekan depan"}
	findings = []string{
		"Petugas memeriksa dokumen keimigrasian di ruang administrasi.",
		"Pengelola bersikap kooperatif dan menunjukkan buku tamu.",
		"Ditemukan perbedaan alamat tinggal dengan data pada sistem.",
		"Izin tinggal salah satu tenaga kerja asing akan habis dalam tiga bulan.",
		"Sponsor diminta melengkapi laporan keberadaan orang asing.",
		"Tidak ditemukan pelanggaran pada saat pemeriksaan berlangsung.",
		"Beberapa berkas hanya berupa salinan dan belum dilegalisasi.",
		"Lokasi kerja sesuai dengan rencana penggunaan tenaga kerja asing.",
		"Tim memberikan penjelasan mengenai kewajiban pelaporan.",
		"Sinyal di lokasi lemah sehingga data disimpan di perangkat.",
	}
	sectors = []string{"Pengolahan Ikan", "Resort Pantai", "Galangan Kapal", "Pabrik Pupuk", "Penginapan", "Pabrik Rokok", "Tambang Batu Kapur"}
)
