//! A call to a test server with a fixed response, within a memory budget that is barely large enough.

use std::{
    io::{Cursor, Read as _, Write as _},
    net::TcpListener,
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use image::{DynamicImage, ImageFormat};
use reel_protocol::ImageParams;
use tokio::sync::watch;

use super::*;
use crate::{
    cache::Spools,
    domain::{ImageRequest, JobSink, ProgressSink},
    memory::Budget,
    process::Launcher,
    provider::{Http, HttpLimits, Inspector, command::CommandRunner, kinds::Openai},
};

/// Serves one request with this body, and returns the base URL.
fn serve(answer: String) -> Url {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = [0; 4_096];
        let _ = stream.read(&mut request).unwrap();
        let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length:";
        stream.write_all(format!("{head} {}\r\n\r\n{answer}", answer.len()).as_bytes()).unwrap();
        let _ = stream.read(&mut request);
    });
    Url::parse(&format!("http://{address}/v1")).unwrap()
}

fn studio(home: &tempfile::TempDir, budget: Budget, base_url: Url) -> RemoteProvider {
    let (artifacts, patience) = (home.path().join("artifacts"), Duration::from_secs(30));
    RemoteProvider {
        config: ProviderConfig {
            price: None,
            name: "studio".to_owned(),
            kind: "openai",
            own: RemoteConfig {
                base_url: base_url.clone(),
                api_key: None,
                job_timeout: Duration::from_mins(1),
            }
            .into(),
            model: None,
            models: std::collections::BTreeMap::new(),
            services: vec!["image".to_owned()],
            max_concurrent: 1,
            requests_per_minute: None,
            rank: 1,
            is_paid: true,
            machine: None,
        },
        remote: RemoteConfig { base_url, api_key: None, job_timeout: Duration::from_mins(1) },
        structured_output: Mutex::default(),
        wire: Arc::new(Openai),
        equipment: Equipment {
            http: Http::new(HttpLimits {
                per_host: 1,
                keep_alive: Duration::ZERO,
                connect: patience,
                first_byte: patience,
                read: patience,
                total: patience,
            }),
            patience,
            spools: Spools::new(artifacts),
            inspector: Inspector::new(budget.clone()),
            chosen_models: crate::provider::chosen_models::ChosenModels::of_home(home.path()),
            loading: crate::provider::loading::LoadingServers::default(),
            loading_patience: Duration::from_secs(1),
            known_jobs: crate::provider::known_jobs::KnownJobs::default(),
            machines: crate::provider::Machines::default(),
            commands: CommandRunner::new(Launcher::this_executable(), home.path(), budget.clone()),
            budget,
        },
    }
}

#[actix::test]
async fn a_picture_is_looked_at_with_the_memory_that_its_call_needs_no_more() {
    let mut picture = Cursor::new(Vec::new());
    DynamicImage::new_rgb8(40, 30).write_to(&mut picture, ImageFormat::Png).unwrap();
    let text = STANDARD.encode(picture.get_ref());
    let home = tempfile::tempdir().unwrap();
    // The budget covers the call and 1,024 bytes more, which is less than an inspection needs.
    let budget = Budget::new(CALL_BYTES + ((1 + OTHER_PICTURES) * SPOOL_BYTES) as u64 + 1024);
    let studio = studio(&home, budget.clone(), serve(format!("{{\"data\":[{{\"b64_json\":\"{text}\"}}]}}")));
    let (_stop, cancel) = watch::channel(false);
    let params = ImageParams::new("a lighthouse");
    let call = Generate {
        provider: "studio".to_owned(),
        request: ServiceRequest::Image(ImageRequest {
            params,
            seed: 1,
            style_suffix: None,
            style_negative: None,
            inputs: Vec::new(),
        }),
        job: None,
        permit: None,
        cancel,
        progress: ProgressSink::new(|_, _| ()),
        jobs: JobSink::new(|_| Box::pin(async { true })),
    };
    let made = tokio::time::timeout(Duration::from_secs(20), studio.attempt(call)).await;
    let Ok(Ok(Generated { artifacts: pictures, .. })) = made else {
        panic!("it waits for its own memory: {made:?}")
    };
    assert_eq!((pictures.len(), budget.reserved_bytes()), (1, picture.get_ref().len() as u64));
}
