package srtp

import (
	"bytes"
	"crypto/aes"
	"encoding/hex"
	"strings"
	"testing"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestKeyStream is RFC 3711 appendix B.2: the key stream of one session key
// and salt with SSRC and index zero, at its begin and around a block number
// that needs two bytes.
func TestKeyStream(t *testing.T) {
	var k keys
	if err := k.ctr.init(unhex(t, "2B7E151628AED2A6ABF7158809CF4F3C")); err != nil {
		t.Fatal(err)
	}
	copy(k.salt[:], unhex(t, "F0F1F2F3F4F5F6F7F8F9FAFBFCFD"))
	b := make([]byte, 16*0xff02)
	k.crypt(b, 0, 0)
	for block, want := range map[int]string{
		0:      "E03EAD0935C95E80E166B16DD92B4EB4",
		1:      "D23513162B02D0F72A43A2FE4A5F97AB",
		2:      "41E95B3BB0A2E8DD477901E4FCA894C0",
		0xfeff: "EC8CDF7398607CB0F2D21675EA9EA1E4",
		0xff00: "362B7C3C6773516318A077D7FC5073AE",
		0xff01: "6A2CC3787889374FBEB4C81B17BA6C44",
	} {
		if got := b[16*block:][:16]; !bytes.Equal(got, unhex(t, want)) {
			t.Errorf("block %x: %x, want %s", block, got, want)
		}
	}
}

// TestKeyDerivation is RFC 3711 appendix B.3.
func TestKeyDerivation(t *testing.T) {
	master, err := aes.NewCipher(unhex(t, "E1F97A0D3E018BE0D64FA32C06DE4139"))
	if err != nil {
		t.Fatal(err)
	}
	for label, want := range []string{
		"C61E7A93744F39EE10734AFE3FF7A087",
		"CEBE321F6FF7716B6FD4AB49AF256A156D38BAA48F0A0ACF3C34E2359E6CDBCEE049646C43D9327AD175578EF72270986371C10C9A369AC2F94A8C5FBCDDDC256D6E919A48B610EF17C2041E474035766B68642C59BBFC2F34DB60DBDFB2",
		"30CBBC08863D8C85D49DB34A9AE1",
	} {
		w := unhex(t, want)
		if got := derive(master, unhex(t, "0EC675AD498AFEEBB6960B3AABE6"), byte(label), len(w)); !bytes.Equal(got, w) {
			t.Errorf("label %d: %x, want %x", label, got, w)
		}
	}
}

// TestGCMVectors is RFC 7714 sections 16 and 17, which give session keys.
func TestGCMVectors(t *testing.T) {
	const (
		key128   = "000102030405060708090a0b0c0d0e0f"
		key256   = key128 + "101112131415161718191a1b1c1d1e1f"
		rtpHead  = "8040f17b 8041f8d3 5501a0b2"
		rtp      = rtpHead + "47616c6c 69612065 7374206f 6d6e6973 20646976 69736120 696e2070 61727465 73207472 6573"
		rtcpHead = "81c8000d 4d617273"
		rtcp     = rtcpHead + "4e545031 4e545032 52545020 0000042a 0000e930 4c756e61 deadbeef deadbeef deadbeef deadbeef deadbeef"
		index    = 0x5d4
	)
	for _, c := range []struct{ name, key, rtp, rtcp, clear string }{
		{"AES-128", key128,
			rtpHead + "f24de3a3fb34de6cacba861c9d7e4bcabe633bd50d294e6f42a5f47a51c7d19b36de3adf8833 899d7f27beb16a9152cf765ee4390cce",
			rtcpHead + "63e94885dcdab67ca727d7662f6b7e997ff5c0f76c06f32dc676a5f1730d6fda4ce09b4686303ded0bb9275b c84aa45896cf4d2fc5abf87245d9eade 800005d4",
			rtcp + "841dd9683dd78ec92ae58790125f62b3 000005d4"},
		{"AES-256", key256,
			rtpHead + "32b1de78a822fe12ef9f78fa332e33aab18012389a58e2f3b50b2a0276ffae0f1ba63799b87b 7aa3db36dfffd6b0f9bb7878d7a76c13",
			rtcpHead + "d50ae4d1f5ce5d304ba297e47d470c282c3ece5dbffe0a50a2eaa5c1110555be8415f658c61de0476f1b6fad 1d1eb30c4446839f57ff6f6cb26ac3be 800005d4",
			""},
	} {
		cipher := &Cipher{tag: gcmTag}
		for _, k := range []*keys{&cipher.rtp, &cipher.rtcp} {
			if err := k.init(GCM, unhex(t, c.key), nil, unhex(t, "517569642070726f2071756f")); err != nil {
				t.Fatal(err)
			}
		}
		if got := cipher.SealRTP(unhex(t, rtp), 12, 0x5501a0b2, 0xf17b); !bytes.Equal(got, unhex(t, c.rtp)) {
			t.Errorf("%s: SRTP %x", c.name, got)
		}
		if got, ok := cipher.OpenRTP(unhex(t, c.rtp), 12, 0x5501a0b2, 0xf17b); !ok || !bytes.Equal(got, unhex(t, rtp)) {
			t.Errorf("%s: RTP %x", c.name, got)
		}
		if got := cipher.SealRTCP(unhex(t, rtcp), 0x4d617273, index); !bytes.Equal(got, unhex(t, c.rtcp)) {
			t.Errorf("%s: SRTCP %x", c.name, got)
		}
		for _, in := range []string{c.rtcp, c.clear} {
			if in == "" {
				continue
			}
			if i, ok := cipher.RTCPIndex(unhex(t, in)); !ok || i != index {
				t.Errorf("%s: index %x", c.name, i)
			}
			if got, ok := cipher.OpenRTCP(unhex(t, in), 0x4d617273); !ok || !bytes.Equal(got, unhex(t, rtcp)) {
				t.Errorf("%s: RTCP %x", c.name, got)
			}
			for i := range unhex(t, in) {
				bad := unhex(t, in)
				bad[i] ^= 1
				if _, ok := cipher.OpenRTCP(bad, 0x4d617273); ok {
					t.Errorf("%s: byte %d of SRTCP is not authenticated", c.name, i)
				}
			}
		}
	}
}
