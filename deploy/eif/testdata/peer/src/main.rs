// eif-peer write KERNEL CMDLINE RAMDISK1 RAMDISK2 CERT KEY OUT: a signed image by AWS's crate; prints its measurements.
// eif-peer read FILE: measurements of a file, after checking its CRC and signature.
use aws_nitro_enclaves_image_format::defs::{EifBuildInfo, EifIdentityInfo};
use aws_nitro_enclaves_image_format::utils::eif_reader::EifReader;
use aws_nitro_enclaves_image_format::utils::eif_signer::SignKeyData;
use aws_nitro_enclaves_image_format::utils::{EifBuilder, PcrSignatureChecker};
use sha2::{Digest, Sha384};
use std::{env, fs, path::Path};

fn main() {
    let a: Vec<String> = env::args().collect();
    if a[1] == "write" {
        let info = EifIdentityInfo {
            img_name: "peer".into(),
            img_version: "1".into(),
            build_info: EifBuildInfo {
                build_time: "2020-01-01T00:00:00Z".into(),
                build_tool: "eif-peer".into(),
                build_tool_version: "1".into(),
                img_os: "none".into(),
                img_kernel: "none".into(),
            },
            docker_info: serde_json::json!({}),
            custom_info: serde_json::json!({}),
        };
        let key = SignKeyData::new(&a[7], Path::new(&a[6])).unwrap();
        let mut b = EifBuilder::new(Path::new(&a[2]), a[3].clone(), Some(key), Sha384::new(), 0, info);
        b.add_ramdisk(Path::new(&a[4]));
        b.add_ramdisk(Path::new(&a[5]));
        let mut out = fs::OpenOptions::new().create(true).truncate(true).read(true).write(true).open(&a[8]).unwrap();
        println!("{}", serde_json::to_string_pretty(&b.write_to(&mut out)).unwrap());
        return;
    }
    let mut r = EifReader::from_eif(a[2].clone()).unwrap();
    assert!(r.check_crc(), "wrong CRC");
    let m = r.get_measurements().unwrap();
    let mut c = PcrSignatureChecker::from_eif(&a[2]).unwrap();
    if !c.is_empty() {
        c.verify().unwrap();
        r.get_certificate_info(m.clone()).unwrap();
        assert_eq!(r.sign_check, Some(true));
    }
    println!("{}", serde_json::to_string_pretty(&m).unwrap());
}
