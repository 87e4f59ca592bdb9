"""Instruction sets and CPU shares, from files as kernels write them."""

from __future__ import annotations

from pathlib import Path

import pytest

from layers.errors import ArtifactError
from layers.runtime.cpu import cpu_flags, instruction_set, thread_count


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ("fpu sse4_2 avx avx2 avx512f avx512_vnni", "x86_64-vnni"),
        ("fpu avx avx2 avx_vnni", "x86_64-vnni"),
        ("fpu sse4_2 avx avx2 fma avx512f", "x86_64-avx2"),
    ],
)
def test_x86_is_told_apart_by_its_flags(tmp_path: Path, flags: str, expected: str) -> None:
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text(f"processor\t: 0\nmodel name\t: Some CPU\nflags\t\t: {flags}\n\nprocessor\t: 1\n")
    assert instruction_set(cpuinfo, "x86_64") == expected


def test_arm_needs_no_flags(tmp_path: Path) -> None:
    assert instruction_set(tmp_path / "absent", "aarch64") == "arm64"


def test_arm_features_are_read_as_flags(tmp_path: Path) -> None:
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text("processor\t: 0\nFeatures\t: fp asimd asimddp\n")
    assert "asimddp" in cpu_flags(cpuinfo)


def test_x86_without_a_list_of_flags_gets_the_safe_variant(tmp_path: Path) -> None:
    assert instruction_set(tmp_path / "absent", "AMD64") == "x86_64-avx2"


def test_x86_without_avx2_is_refused(tmp_path: Path) -> None:
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text("flags\t\t: fpu sse4_2 avx\n")
    with pytest.raises(ArtifactError, match="no AVX2"):
        instruction_set(cpuinfo, "x86_64")


def test_another_machine_is_refused() -> None:
    with pytest.raises(ArtifactError, match="riscv64"):
        instruction_set(machine="riscv64")


@pytest.fixture
def many_cpus(tmp_path: Path) -> int:
    """What is visible here, with no quota at all."""
    return thread_count({}, tmp_path / "none", tmp_path / "none")


def test_quota_v2_of_the_container_binds(tmp_path: Path) -> None:
    (tmp_path / "cpu.max").write_text("100000 100000\n")
    assert thread_count({}, tmp_path, tmp_path / "none") == 1


def test_quota_v2_of_a_parent_binds_its_children(tmp_path: Path) -> None:
    child = tmp_path / "pod" / "container"
    child.mkdir(parents=True)
    (child / "cpu.max").write_text("max 100000\n")
    (tmp_path / "pod" / "cpu.max").write_text("150000 100000\n")
    groups = tmp_path / "cgroup"
    groups.write_text("0::/pod/container\n")
    assert thread_count({}, tmp_path, groups) == 1


def test_quota_v1_binds(tmp_path: Path) -> None:
    group = tmp_path / "cpu,cpuacct" / "docker"
    group.mkdir(parents=True)
    (group / "cpu.cfs_quota_us").write_text("50000\n")
    (group / "cpu.cfs_period_us").write_text("100000\n")
    groups = tmp_path / "cgroup"
    groups.write_text("4:memory:/docker\n3:cpu,cpuacct:/docker\n")
    assert thread_count({}, tmp_path, groups) == 1


@pytest.mark.parametrize("content", ["max 100000", "-1", "", "garbage here", "100000 0"])
def test_no_quota_is_no_limit(tmp_path: Path, content: str, many_cpus: int) -> None:
    (tmp_path / "cpu.max").write_text(content)
    (tmp_path / "cpu").mkdir()
    (tmp_path / "cpu" / "cpu.cfs_quota_us").write_text("-1")
    (tmp_path / "cpu" / "cpu.cfs_period_us").write_text("100000")
    assert thread_count({}, tmp_path, tmp_path / "none") == many_cpus


@pytest.mark.parametrize(("memory_mib", "cpus"), [("128", 1), ("1769", 1), ("1770", 2), ("3538", 2), ("10240", 6)])
def test_lambda_memory_is_a_share_of_cpus(tmp_path: Path, memory_mib: str, cpus: int, many_cpus: int) -> None:
    environ = {"AWS_LAMBDA_FUNCTION_MEMORY_SIZE": memory_mib}
    assert thread_count(environ, tmp_path, tmp_path / "none") == min(cpus, many_cpus)


def test_lambda_memory_that_is_no_number_is_ignored(tmp_path: Path, many_cpus: int) -> None:
    assert thread_count({"AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "lots"}, tmp_path, tmp_path / "none") == many_cpus
