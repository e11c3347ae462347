import CadastreClient

extension TLSProblem {
  /// What to do where it is etcd that was called: nodes reach it by flags of its own.
  var remedyAtEtcd: String {
    switch reason {
    case "certificate_not_trusted", "server_wants_tls":
      "give the certificate of who signed those of the servers with --etcd-ca"
    case "certificate_required", "certificate_refused":
      "give a certificate that the servers trust with --etcd-cert and --etcd-key"
    case "server_in_plain_text":
      "leave out --etcd-ca and --etcd-cert, or have the servers speak TLS"
    case "closed_in_handshake":
      "leave out --etcd-ca and --etcd-cert if the servers speak plain text; else their log says why"
    case "certificate_for_other_host":
      "name the servers in --log by names that are in their certificates"
    case "certificate_expired", "certificate_not_yet_valid":
      "renew the certificate, or set the clocks right"
    default: remedy
    }
  }
}
