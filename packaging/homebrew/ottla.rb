# `make release` writes dist/ottla.rb, with the address, version and sums of a release.
class Ottla < Formula
  desc "Partitioned, replicated log broker with a plain HTTP API"
  homepage "RELEASE_URL"
  version "RELEASE_VERSION"

  on_macos do
    on_arm do
      url "RELEASE_URL/ottla-RELEASE_VERSION-darwin-arm64"
      sha256 "SUM_darwin_arm64"
    end
    on_intel do
      url "RELEASE_URL/ottla-RELEASE_VERSION-darwin-amd64"
      sha256 "SUM_darwin_amd64"
    end
  end
  on_linux do
    on_arm do
      url "RELEASE_URL/ottla-RELEASE_VERSION-linux-arm64"
      sha256 "SUM_linux_arm64"
    end
    on_intel do
      url "RELEASE_URL/ottla-RELEASE_VERSION-linux-amd64"
      sha256 "SUM_linux_amd64"
    end
  end

  def install
    bin.install Dir["ottla-*"].first => "ottla"
    generate_completions_from_executable(bin/"ottla", "completion")
  end

  service do
    run [opt_bin/"ottla", "serve", "--data-dir", var/"ottla"]
    keep_alive true
  end

  test do
    assert_match version.to_s, shell_output("#{bin}/ottla version")
  end
end
