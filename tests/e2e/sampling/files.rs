//! Kubernetes' own tracing files.

use super::{listeners, sampled};
use crate::component::Component;
use crate::proxy::{self, Proxy};
use crate::receiver::{Receiver, Scratch, Speaks};
use crate::wire::Wire;

#[test]
fn a_kubernetes_file_says_rate_and_endpoint_and_our_own_keys_win() {
    let scratch = Scratch::new("kubernetes-file");
    let file = scratch.join("tracing.yaml");
    let rows = [
        (
            "apiVersion: apiserver.config.k8s.io/v1alpha1\nkind: TracingConfiguration\n",
            "",
            "",
            true,
        ),
        (
            "apiVersion: apiserver.config.k8s.io/v1beta1\nkind: TracingConfiguration\n",
            "",
            "",
            true,
        ),
        (
            "apiVersion: apiserver.config.k8s.io/v1\nkind: TracingConfiguration\n",
            "",
            "",
            true,
        ),
        (
            "apiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\ntracing:\n",
            "  ",
            "",
            true,
        ),
        (
            "apiVersion: apiserver.config.k8s.io/v1\nkind: TracingConfiguration\n",
            "",
            "  samplingRatePerMillion: 0\n",
            false,
        ),
    ];
    for (head, indent, own, expected) in rows {
        let (component, receiver) = (Component::start(), Receiver::start(Speaks::Grpc));
        let address = receiver.address().expect("TCP");
        let text = format!(
            "{head}{indent}endpoint: localhost:{}\n{indent}samplingRatePerMillion: 1000000\n",
            address.port()
        );
        std::fs::write(&file, text).expect("a file");
        let tracing = format!("{own}  kubernetesFile: {}", file.display());
        let proxy = Proxy::start(&proxy::custom(&tracing, &listeners(&component)));
        Wire::connect(proxy.at(0)).ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        let seen = component.wait_for(1).remove(0);
        assert_eq!(sampled(&seen), Some(expected), "{head}{own}");
        proxy.stop();
        if expected {
            assert_eq!(receiver.wait_for_spans(1).len(), 1, "{head}");
        } else {
            assert!(receiver.spans().is_empty(), "{own}");
        }
    }
}
