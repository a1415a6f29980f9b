"""Names of x86 CPU features by their place in CPUID, as ``-cpu`` has them.

Source: target/i386/cpu.c: feature_word_info; 10.2, which has all names of older releases. Words of
model specific registers are left out: no guest runs an instruction by them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache, lru_cache
from typing import Any

Word = tuple[int, int | None, str]
"""CPUID function, sub-function (None when there is none) and register."""

#: Names from bit 0 on; ``-N`` stands for N bits without a name.
_NAMES: Mapping[Word, str] = {
    (0x1, None, "EDX"): """
        fpu vme de pse tsc msr pae mce cx8 apic -1 sep mtrr pge mca cmov pat pse36 pn
        clflush -1 ds acpi mmx fxsr sse sse2 ss ht tm ia64 pbe""",
    (0x1, None, "ECX"): """
        pni pclmulqdq dtes64 monitor ds-cpl vmx smx est tm2 ssse3 cid -1 fma cx16 xtpr pdcm
        -1 pcid dca sse4.1 sse4.2 x2apic movbe popcnt tsc-deadline aes xsave -1 avx f16c
        rdrand hypervisor""",
    (0x80000001, None, "EDX"): """
        -11 syscall -8 nx -1 mmxext -2 fxsr-opt pdpe1gb rdtscp -1 lm 3dnowext 3dnow""",
    (0x80000001, None, "ECX"): """
        lahf-lm cmp-legacy svm extapic cr8legacy abm sse4a misalignsse 3dnowprefetch osvw
        ibs xop skinit wdt -1 lwp fma4 tce -1 nodeid-msr -1 tbm topoext perfctr-core
        perfctr-nb""",
    (0xC0000001, None, "EDX"): """
        -2 xstore xstore-en -2 xcrypt xcrypt-en ace2 ace2-en phe phe-en pmm pmm-en""",
    (0x40000001, None, "EAX"): """
        kvmclock kvm-nopiodelay kvm-mmu kvmclock kvm-asyncpf kvm-steal-time kvm-pv-eoi
        kvm-pv-unhalt -1 kvm-pv-tlb-flush kvm-asyncpf-vmexit kvm-pv-ipi kvm-poll-control
        kvm-pv-sched-yield kvm-asyncpf-int kvm-msi-ext-dest-id -8 kvmclock-stable-bit""",
    (0x40000001, None, "EDX"): "kvm-hint-dedicated",
    (0x8000000A, None, "EDX"): """
        npt lbrv svm-lock nrip-save tsc-scale vmcb-clean flushbyasid decodeassists -2
        pause-filter -1 pfthreshold avic -1 v-vmsave-vmload vgif -8 vnmi -2 svme-addr-chk""",
    (0x7, 0, "EBX"): """
        fsgsbase tsc-adjust sgx bmi1 hle avx2 fdp-excptn-only smep bmi2 erms invpcid rtm -1
        zero-fcs-fds mpx -1 avx512f avx512dq rdseed adx smap avx512ifma pcommit clflushopt
        clwb intel-pt avx512pf avx512er avx512cd sha-ni avx512bw avx512vl""",
    (0x7, 0, "ECX"): """
        -1 avx512vbmi umip pku -1 waitpkg avx512vbmi2 -1 gfni vaes vpclmulqdq avx512vnni
        avx512bitalg -1 avx512-vpopcntdq -1 la57 -5 rdpid -1 bus-lock-detect cldemote -1
        movdiri movdir64b -1 sgxlc pks""",
    (0x7, 0, "EDX"): """
        -2 avx512-4vnniw avx512-4fmaps fsrm -3 avx512-vp2intersect -1 md-clear -3 serialize
        -1 tsx-ldtrk -2 arch-lbr -2 amx-bf16 avx512-fp16 amx-tile amx-int8 spec-ctrl stibp
        flush-l1d arch-capabilities core-capability ssbd""",
    (0x7, 1, "EAX"): """
        sha512 sm3 sm4 -1 avx-vnni avx512-bf16 -1 cmpccxadd -2 fzrm fsrs fsrc -4 fred lkgs
        wrmsrns -1 amx-fp16 -1 avx-ifma -2 lam""",
    (0x7, 1, "ECX"): "-5 msr-imm",
    (0x7, 1, "EDX"): """
        -4 avx-vnni-int8 avx-ne-convert -2 amx-complex -1 avx-vnni-int16 -3 prefetchiti -4
        avx10""",
    (0x7, 2, "EDX"): "intel-psfd ipred-ctrl rrsba-ctrl ddpd-u bhi-ctrl mcdt-no",
    (0x24, 0, "EBX"): "-16 avx10-128 avx10-256 avx10-512",
    (0x80000007, None, "EDX"): "-8 invtsc",
    (0x80000007, None, "EBX"): "overflow-recov succor",
    (0x80000008, None, "EBX"): """
        clzero -1 xsaveerptr -6 wbnoinvd -2 ibpb -1 ibrs amd-stibp -1 stibp-always-on -6
        amd-ssbd virt-ssbd amd-no-ssb -1 amd-psfd""",
    (0x80000021, None, "EAX"): """
        no-nested-data-bp fs-gs-base-ns lfence-always-serializing -2 verw-clear
        null-sel-clr-base -1 auto-ibrs -11 prefetchi -3 eraps -2 sbpb ibpb-brtype srso-no
        srso-user-kernel-no""",
    (0x80000021, None, "ECX"): "-1 tsa-sq-no tsa-l1-no",
    (0x80000022, None, "EAX"): "perfmon-v2",
    (0xD, 1, "EAX"): "xsaveopt xsavec xgetbv1 xsaves xfd",
    (0x6, None, "EAX"): "-2 arat",
    (0x14, 0, "ECX"): "-31 intel-pt-lip",
    (0x12, 0, "EAX"): "sgx1 sgx2 -9 sgx-edeccssa",
    (0x12, 0, "EBX"): "sgx-exinfo",
    (0x12, 1, "EAX"): """
        -1 sgx-debug sgx-mode64 -1 sgx-provisionkey sgx-tokenkey -1 sgx-kss -2
        sgx-aex-notify""",
}

#: A guest that loses these goes on: topology, hints, and what a processor is *not* open to.
_NOT_MISSED = """
    amd-no-ssb arat cmp-legacy ds-cpl dtes64 est fdp-excptn-only fs-gs-base-ns ht hypervisor ibs
    kvm-hint-dedicated lfence-always-serializing no-nested-data-bp nodeid-msr null-sel-clr-base pbe
    pn ss stibp-always-on tm tm2 topoext verw-clear wdt zero-fcs-fds"""
_HARMLESS = frozenset(_NOT_MISSED.split())
#: Subsections of a CPU that are sent when their registers are in use, and the features that these
#: belong to (one is enough).
SENT_FOR: Mapping[str, str] = {
    "cpu/amd_tsc_scale_msr": "tsc-scale",
    "cpu/arch_lbr": "arch-lbr",
    "cpu/async_pf_msr": "kvm-asyncpf",
    "cpu/async_pv_eoi_msr": "kvm-pv-eoi",
    "cpu/avx512": "avx512f",
    "cpu/fred": "fred",
    "cpu/intel_amx_xtile": "amx-tile",
    "cpu/intel_sgx": "sgx",
    "cpu/intel_pt": "intel-pt",
    "cpu/mpx": "mpx",
    "cpu/msr_tsc_adjust": "tsc-adjust",
    "cpu/msr_tscdeadline": "tsc-deadline",
    "cpu/msr_xfd": "xfd",
    "cpu/pkrs": "pks",
    "cpu/pkru": "pku",
    "cpu/spec_ctrl": "spec-ctrl ssbd stibp ibrs amd-ssbd amd-stibp",
    "cpu/steal_time_msr": "kvm-steal-time",
    "cpu/svm_guest": "svm",
    "cpu/umwait": "waitpkg",
    "cpu/virt_ssbd": "virt-ssbd",
    "cpu/xss": "xsaves",
}


@cache
def _bits() -> dict[str, list[tuple[Word, int]]]:
    """Where each name is; ``kvmclock`` has two bits."""
    bits: dict[str, list[tuple[Word, int]]] = {}
    for word, text in _NAMES.items():
        bit = 0
        for name in text.split():
            if name[0] == "-":
                bit += int(name[1:])
                continue
            bits.setdefault(name, []).append((word, bit))
            bit += 1
    return bits


def features(words: Iterable[Mapping[str, Any]]) -> frozenset[str]:
    """Names of the features in ``feature-words`` (the QOM property of an x86 CPU).

    A word that a release does not list is one that its guests see as 0.
    """
    values: dict[Word, int] = {}
    for word in words:
        try:
            place = (
                int(word["cpuid-input-eax"]),
                word.get("cpuid-input-ecx"),
                str(word["cpuid-register"]),
            )
            values[place] = int(word["features"])
        except (KeyError, TypeError, ValueError):
            continue
    return _of_words(tuple(values.items()))


@lru_cache(maxsize=256)
def _of_words(words: tuple[tuple[Word, int], ...]) -> frozenset[str]:
    values = dict(words)
    return frozenset(
        name
        for name, places in _bits().items()
        if any(values.get(word, 0) >> bit & 1 for word, bit in places)
    )


def decisive(names: Iterable[str]) -> tuple[str, ...]:
    """Of some features those whose loss a running guest can notice, sorted."""
    return tuple(
        sorted(name for name in names if name not in _HARMLESS and not name.endswith("-no"))
    )


def names() -> frozenset[str]:
    """All names that are known."""
    return frozenset(_bits())
