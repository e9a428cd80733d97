"""The agent's side: ports, tables, a worker that ends, and an agent that does."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from unittest.mock import Mock

import psutil
import pytest

import name_server_parent
from dns_queries import NAMES, document_of, query, read
from kumadp_dns import name_server_process
from kumadp_dns.name_server_process import NameServer, bind
from kumadp_dns.serving import restart, worker_process
from kumamesh.errors import UserError
from name_server import LOOPBACK, NOWHERE, dig, framed, read_message, serving, tcp_client, udp_client, until

OTHER = {"backend.mesh": ("240.9.9.9",), "new.mesh": ("240.9.9.8",)}


def bound(kind: socket.SocketKind, port: int = 0) -> socket.socket:
    sock = socket.socket(socket.AF_INET, kind)
    # Over UDP it would share the port with whoever is as careless.
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind((LOOPBACK, port))
    if kind == socket.SOCK_STREAM:
        sock.listen()
    return sock


@pytest.mark.parametrize("kind", [socket.SOCK_DGRAM, socket.SOCK_STREAM])
def test_a_port_that_somebody_has_is_named_with_the_remedy(kind: socket.SocketKind) -> None:
    with bound(kind) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(UserError, match=rf"port {port} is in use on 127\.0\.0\.1.*KUMA_DNS_PROXY_PORT"):
            bind([LOOPBACK], port, exact=True)


@pytest.mark.parametrize("kind", [socket.SOCK_DGRAM, socket.SOCK_STREAM])
def test_a_port_that_nobody_chose_is_replaced_by_one_that_is_free_for_both(kind: socket.SocketKind) -> None:
    with bound(kind) as taken:
        port = taken.getsockname()[1]
        with contextlib.closing(bind([LOOPBACK, "127.0.0.2"], port, exact=False)) as sockets:
            assert sockets.port != port
            assert {sock.getsockname() for sock in sockets.all} == {
                (LOOPBACK, sockets.port),
                ("127.0.0.2", sockets.port),
            }


def test_a_second_name_server_does_not_share_the_port_of_the_first() -> None:
    with contextlib.closing(bind([LOOPBACK], 0, exact=True)) as first:
        with pytest.raises(UserError, match="in use"):
            bind([LOOPBACK], first.port, exact=True)
        with contextlib.closing(bind([LOOPBACK], first.port, exact=False)) as second:
            assert second.port != first.port


@pytest.mark.parametrize(
    ("addresses", "port", "says"),
    [
        (["192.0.2.1"], 0, "192.0.2.1:0: the host has no such address"),
        (["2001:db8::1"], 0, r"\[2001:db8::1\]:0: the host has no such address"),
        ([LOOPBACK], 70_000, "70000 is not a port for the name server.*KUMA_DNS_PROXY_PORT"),
        ([LOOPBACK], -1, "-1 is not a port"),
    ],
)
def test_what_cannot_be_bound_is_one_line(addresses: list[str], port: int, says: str) -> None:
    with pytest.raises(UserError, match=says) as error:
        bind(addresses, port, exact=False)
    assert "\n" not in str(error.value)


async def test_a_closed_name_server_leaves_its_port_to_the_next() -> None:
    with contextlib.ExitStack() as stack:
        async with serving() as first:
            port, pid = first.port, first.worker
            client = stack.enter_context(tcp_client(port))
            client.sendall(framed(query("backend.mesh")))
            await asyncio.to_thread(read_message, client)
        assert await asyncio.to_thread(read_message, client) == b""  # the server's end of it lingers now
    assert pid
    await until(lambda: not psutil.pid_exists(pid), "its end")
    with contextlib.closing(bind([LOOPBACK], port, exact=True)) as again:
        assert again.port == port


async def test_before_the_first_table_names_of_the_mesh_fail_and_none_is_said_not_to_exist() -> None:
    async with serving(names=None) as server:
        assert "status: SERVFAIL" in await dig(server.port, "backend.mesh", "+tries=1")
        assert not server.loaded.is_set()
        assert server.figures().loaded_at is None
        await server.apply(document_of(NAMES))
        assert server.loaded.is_set()
        assert await dig(server.port, "+short", "backend.mesh") == "240.0.0.1"


async def test_a_table_is_answered_from_once_it_is_applied_and_the_one_before_no_more() -> None:
    async with serving() as server:
        for names in (OTHER, NAMES, OTHER):
            applied = await server.apply(document_of(names))
            assert applied.names == len(names)
            with udp_client(server.port) as client:
                client.send(query("backend.mesh"))
                reply = read(await asyncio.to_thread(client.recv, 512))
            assert reply.answer[0][0].address == names["backend.mesh"][0]
        await server.apply(document_of({}))
        assert "status: NXDOMAIN" in await dig(server.port, "backend.mesh")


async def test_an_entry_that_cannot_be_used_is_refused_and_the_rest_is_used() -> None:
    async with serving() as server:
        applied = await server.apply(document_of({**NAMES, "bad.mesh": ("240.0.0", "240.0.0.77")}))
        assert applied.refusals == 1
        assert applied.refused[0].name == "bad.mesh"
        assert await dig(server.port, "+short", "bad.mesh") == "240.0.0.77"


async def test_a_table_that_is_damaged_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving() as server:
        with monkeypatch.context() as patched:
            patched.setattr("kumadp_dns.answers.table.dump", lambda table: b"\0" * 100)
            with pytest.raises(UserError, match="cannot use its new names: the name table is not whole"):
                await server.apply(document_of(OTHER))
        for _ in range(2):
            assert await dig(server.port, "+short", "backend.mesh") == "240.0.0.1"
            await killed(server)


async def killed(server: NameServer) -> None:
    """Until there is another worker that knows what the first one did."""
    before = server.worker
    assert before
    os.kill(before, signal.SIGKILL)
    await until(lambda: server.worker not in (None, before), "another worker")


async def test_a_killed_worker_costs_no_query_its_answer_and_no_client_its_server(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Queries come all the time; those that were with the worker when it was killed are asked again, as
    resolvers do, but not one is refused."""
    caplog.set_level(logging.INFO)
    async with serving() as server:
        maker = server.pid
        stop = asyncio.Event()

        async def stream(name: str) -> int:
            count = 0
            with udp_client(server.port) as client:
                client.settimeout(1.0)
                while not stop.is_set():
                    packet = os.urandom(2) + query(name)[2:]
                    client.send(packet)
                    try:
                        reply = await asyncio.to_thread(client.recv, 512)
                    except TimeoutError:
                        continue
                    count += reply[:2] == packet[:2]
            return count

        async with asyncio.TaskGroup() as group:
            streams = [group.create_task(stream(name)) for name in ("backend.mesh", "ipv4-only.mesh")]
            for _ in range(restart.AT_ONCE):
                with udp_client(server.port) as client:
                    await killed(server)
                    client.send(query("both.svc.mesh"))  # into the socket of a worker that is not there yet
                    assert read(await asyncio.to_thread(client.recv, 512)).answer
            with tcp_client(server.port) as client:
                client.sendall(framed(query("backend.mesh")))
                assert await asyncio.to_thread(read_message, client)
            stop.set()
        assert server.pid == maker
        assert all(task.result() for task in streams)
        told = await until(lambda: (f := server.figures()).names and f, "the last worker's figures")
        assert told.names == len(NAMES)
    ended = [record for record in caplog.records if "has ended (signal 9)" in record.getMessage()]
    assert len(ended) == restart.AT_ONCE
    assert any("answered again" in record.getMessage() for record in caplog.records)


async def test_counters_do_not_go_down_with_a_worker() -> None:
    async with serving() as server:
        assert await dig(server.port, "+short", "backend.mesh")
        before = await until(lambda: server.figures().queries.get(("A", "local")), "the first count")
        await killed(server)
        assert server.figures().queries["A", "local"] == before
        assert await dig(server.port, "+short", "backend.mesh")
        await until(lambda: server.figures().queries["A", "local"] == before + 1, "the next count")


async def test_a_table_that_is_on_its_way_when_the_worker_ends_is_applied_by_the_next() -> None:
    async with serving() as server:
        assert server.worker
        os.kill(server.worker, signal.SIGSTOP)
        applying = asyncio.create_task(server.apply(document_of(OTHER)))
        await asyncio.sleep(0)
        os.kill(server.worker, signal.SIGKILL)
        assert (await applying).names == len(OTHER)
        assert await dig(server.port, "+short", "backend.mesh") == "240.9.9.9"


async def test_a_table_that_the_kernel_could_not_hand_over_is_applied_by_the_next_worker() -> None:
    """As when the worker has no descriptor free: only the frame comes."""
    async with serving() as server:
        worker, process = server.worker, server._process
        assert process
        send = process.send
        process.send = lambda frame, files=(): send(frame)  # type: ignore[method-assign]
        applying = asyncio.create_task(server.apply(document_of(OTHER)))
        await until(lambda: server.worker != worker, "the end of the worker")
        process.send = send  # type: ignore[method-assign]
        assert (await applying).names == len(OTHER)
        assert await dig(server.port, "+short", "backend.mesh") == "240.9.9.9"


@pytest.mark.parametrize("hangs", ["worker", "both"])
async def test_a_worker_that_hangs_is_replaced(
    hangs: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(worker_process, "LOOK_S", 0.5)
    async with serving() as server:
        maker, worker = server.pid, server.worker
        assert maker
        assert worker
        for pid in (worker, *([maker] if hangs == "both" else [])):
            os.kill(pid, signal.SIGSTOP)
        with udp_client(server.port) as client:
            client.send(query("backend.mesh"))
            assert read(await asyncio.to_thread(client.recv, 512)).answer
        await until(lambda: server.worker not in (None, worker), "another worker")
        await until(lambda: not psutil.pid_exists(worker), "the end of the one that hangs")
    assert "the name server has ended (it hung: nothing was heard of it for 2 s)" in caplog.text


async def test_a_worker_that_nobody_asks_anything_says_that_it_is_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Which is what the patience with it lives on."""
    heard = Mock()
    monkeypatch.setattr(restart.Patience, "heard", heard)
    async with serving():
        before = heard.call_count
        await until(lambda: heard.call_count > before + 2, "word of it")


async def test_what_a_table_took_is_given_back_when_it_cannot_be_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with serving() as server:
        files = len(os.listdir("/proc/self/fd"))
        monkeypatch.setattr(name_server_process, "_SEALS", -1)
        for _ in range(3):
            with pytest.raises(OSError, match="Invalid argument"):
                await server.apply(document_of(OTHER))
        assert len(os.listdir("/proc/self/fd")) == files
        assert await dig(server.port, "+short", "backend.mesh") == "240.0.0.1"


async def test_a_worker_that_cannot_start_is_tried_again_ever_more_seldom_with_the_reason(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with serving() as server:
        broken = ("-I", "-S", "-c", "raise SystemExit('no module\\nnamed struct')")
        with monkeypatch.context() as patched:
            patched.setattr(worker_process, "_BARE", broken)
            assert server.pid
            os.kill(server.pid, signal.SIGKILL)
            await until(lambda: "keeps ending" in caplog.text, "a pause")
        assert "keeps ending (exit code 1: named struct); it is started in 0.1 s" in caplog.text
        assert await dig(server.port, "+short", "backend.mesh") == "240.0.0.1"


async def test_a_burst_waits_in_the_socket_for_a_worker_that_has_no_time() -> None:
    burst = 400
    async with serving() as server:
        assert server.worker
        with udp_client(server.port) as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)  # the answers come at once, too
            os.kill(server.worker, signal.SIGSTOP)
            for number in range(burst):
                client.send(number.to_bytes(2, "big") + query("backend.mesh")[2:])
            os.kill(server.worker, signal.SIGCONT)
            replies = [await asyncio.to_thread(client.recv, 512) for _ in range(burst)]
    assert [int.from_bytes(reply[:2], "big") for reply in replies] == list(range(burst))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
async def test_a_signal_for_the_whole_group_does_not_end_the_names(number: signal.Signals) -> None:
    async with serving() as server:
        assert server.worker
        assert os.getpgid(server.worker) != os.getpgrp()
        pid = server.worker
        os.kill(pid, number)
        assert await dig(server.port, "+short", "backend.mesh") == "240.0.0.1"
        assert server.worker == pid


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_the_worker_goes_with_its_agent(number: signal.Signals) -> None:
    command = [sys.executable, name_server_parent.__file__]
    paths = os.pathsep.join(sys.path)
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={"PYTHONPATH": paths}) as agent:
        assert agent.stdout
        pid, port = map(int, agent.stdout.readline().split())
        worker = psutil.Process(pid)
        with udp_client(port) as client:
            client.send(query("backend.mesh"))
            assert read(client.recv(512)).rcode() == 2
        os.kill(pid, signal.SIGSTOP)  # even one that would not notice
        agent.send_signal(number)
        agent.wait()
    worker.wait(30)
    with contextlib.closing(bind([LOOPBACK], port, exact=True)):
        pass


async def test_nothing_of_the_environment_reaches_the_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUMA_DATAPLANE_RUNTIME_TOKEN", "secret")
    async with serving() as server:
        assert server.worker
        assert b"secret" not in Path(f"/proc/{server.worker}/environ").read_bytes()


async def test_a_name_server_can_be_closed_that_was_not_started() -> None:
    await NameServer(bind([LOOPBACK], 0, exact=False), resolv_conf=NOWHERE).close()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
async def test_a_name_server_can_be_closed_whose_worker_has_ended_or_hangs(
    number: signal.Signals, monkeypatch: pytest.MonkeyPatch
) -> None:
    if number == signal.SIGSTOP:
        monkeypatch.setattr(worker_process, "STOP_S", 0.05)
    async with serving() as server:
        pid = server.worker
        assert pid
        os.kill(pid, number)
    await until(lambda: not psutil.pid_exists(pid), "the end of the worker")


async def test_workers_go_on_coming_when_the_process_that_makes_them_has_ended() -> None:
    async with serving() as server:
        before = psutil.Process(server.worker)
        assert server.pid == before.ppid()
        os.kill(server.pid, signal.SIGKILL)
        await until(lambda: server.worker not in (None, before.pid), "another worker")
        await until(lambda: before.status() == psutil.STATUS_ZOMBIE or not before.is_running(), "its end")
        assert await dig(server.port, "+short", "backend.mesh") == "240.0.0.1"


async def test_tables_replace_each_other_under_load_without_a_lost_or_mixed_answer() -> None:
    """Each answer is of one table or of the other, and there is one for each query."""
    swaps = 50
    names = [{f"service-{number}.mesh": (f"240.{turn}.0.1",) for number in range(500)} for turn in range(2)]
    async with serving(names[0]) as server:
        done = False
        lost = 0
        seen: set[str] = set()

        async def stream() -> None:
            nonlocal lost
            with udp_client(server.port) as client:
                number = 0
                while not done:
                    number = (number + 1) % 500
                    client.send(query(f"service-{number}.mesh"))
                    try:
                        reply = read(await asyncio.to_thread(client.recv, 512))
                    except TimeoutError:
                        lost += 1
                        continue
                    assert reply.question[0].name.to_text() == f"service-{number}.mesh."
                    seen.add(reply.answer[0][0].address)

        async with asyncio.TaskGroup() as group:
            group.create_task(stream())
            for turn in range(1, swaps + 1):
                await server.apply(document_of(names[turn % 2]))
            done = True
        assert lost == 0
        assert seen == {"240.0.0.1", "240.1.0.1"}
