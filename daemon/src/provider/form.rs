//! Builds request bodies of the type `multipart/form-data`, which carry fields and files together. Pure.

/// A form to which fields are added. Its boundary is a hash of its fields, so that equal forms have equal bytes.
#[derive(Debug, Default)]
pub struct Form {
    parts: Vec<(String, Vec<u8>)>,
}

impl Form {
    /// Adds a text field.
    pub fn text(&mut self, name: &str, value: &str) {
        let head = format!("Content-Disposition: form-data; name=\"{}\"", quoted(name));
        self.parts.push((head, value.as_bytes().to_vec()));
    }

    /// Adds a file field with the file's name, media type and content.
    pub fn file(&mut self, name: &str, file_name: &str, media_type: &str, bytes: Vec<u8>) {
        let head = format!(
            "Content-Disposition: form-data; name=\"{}\"; filename=\"{}\"\r\nContent-Type: {media_type}",
            quoted(name),
            quoted(file_name)
        );
        self.parts.push((head, bytes));
    }

    /// Returns the value of the header `Content-Type`, which names the boundary, and the body.
    pub fn finish(self) -> (String, Vec<u8>) {
        let mut hasher = blake3::Hasher::new();
        for (head, value) in &self.parts {
            hasher.update(head.as_bytes()).update(value);
        }
        let boundary = format!("reel-{}", hasher.finalize().to_hex());
        let mut body = Vec::new();
        for (head, value) in &self.parts {
            body.extend_from_slice(format!("--{boundary}\r\n{head}\r\n\r\n").as_bytes());
            body.extend_from_slice(value);
            body.extend_from_slice(b"\r\n");
        }
        body.extend_from_slice(format!("--{boundary}--\r\n").as_bytes());
        (format!("multipart/form-data; boundary={boundary}"), body)
    }
}

/// Escapes a name for a quoted parameter of the header `Content-Disposition`.
fn quoted(name: &str) -> String {
    name.replace('"', "%22").replace(['\r', '\n'], " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_has_each_field_between_boundaries_that_no_value_holds() {
        let mut form = Form::default();
        form.text("prompt", "waves\r\n--reel");
        form.text("a\"\r\nb", "8");
        form.file("image[]", "image-1.png", "image/png", b"PNG".to_vec());
        let (content_type, body) = form.finish();
        let boundary = content_type.strip_prefix("multipart/form-data; boundary=").unwrap();
        let body = String::from_utf8(body).unwrap();
        let expected = format!(
            "--{boundary}\r\nContent-Disposition: form-data; name=\"prompt\"\r\n\r\nwaves\r\n--reel\r\n\
             --{boundary}\r\nContent-Disposition: form-data; name=\"a%22  b\"\r\n\r\n8\r\n\
             --{boundary}\r\nContent-Disposition: form-data; name=\"image[]\"; filename=\"image-1.png\"\r\n\
             Content-Type: image/png\r\n\r\nPNG\r\n--{boundary}--\r\n"
        );
        assert_eq!(body, expected);
    }
}
