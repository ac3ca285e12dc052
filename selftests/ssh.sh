# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0
#
# ssh between the machines of a test: who is root on one of them is root on all, without a question. Sourced.
# FOLDER is one that all of them see.

ssh_config=/etc/ssh/ssh_config.d/tcp_failover_selftest.conf

# ssh_keys FOLDER: what both ends want; one host key for all machines.
ssh_keys() {
	local folder=$1 key
	mkdir -p "$folder"
	for key in host_key key; do
		ssh-keygen -q -t ed25519 -N '' -f "$folder/$key"
	done
	printf 'machines %s\n' "$(cat "$folder/host_key.pub")" >"$folder/known_hosts"
	cat >"$folder/sshd_config" <<-END
		HostKey $folder/host_key
		AuthorizedKeysFile $folder/key.pub
		StrictModes no
		PidFile none
	END
}

# ssh_machine FOLDER NAME ADDRESS: here, ssh knows it by its name.
ssh_machine() {
	cat >>"$ssh_config" <<-END
		Host $2
		    HostName $3
		    HostKeyAlias machines
		    UserKnownHostsFile $1/known_hosts
		    IdentityFile $1/key
	END
}

# ssh_forget: here, it knows none any more.
ssh_forget() {
	rm -f "$ssh_config"
}

# sshd_up FOLDER ADDRESS: here, this address listens.
sshd_up() {
	# Where it locks itself in.
	mkdir -p /run/sshd
	/usr/sbin/sshd -f "$1/sshd_config" -o "ListenAddress=$2"
}
