"""Numbers of Linux's KVM API that decide migrations, with their origin.

Source: ``include/uapi/linux/kvm.h`` and ``arch/x86/include/uapi/asm/kvm.h`` of Linux 6.x (numbers
never change); which MSR a subsection holds: QEMU ``target/i386/machine.c``, and by which list
``target/i386/kvm/kvm.c: kvm_get_supported_msrs`` puts it; 5.2 to 10.0.
"""

from __future__ import annotations

from collections.abc import Mapping

#: Accelerators as people write them (``-accel``; ``accel/*/`` in QEMU's source).
ACCELERATOR_NAMES: Mapping[str, str] = {"kvm": "KVM", "tcg": "TCG", "qtest": "qtest"}

#: Sections of targets that are no PC, for which KVM has devices of its own.
KERNEL_SECTIONS = frozenset(
    {"cpu", "arm_gic", "arm_gicv3", "arm_gicv3_its", "icp", "ics", "xive", "s390-flic", "timebase"}
)

#: ``KVM_CHECK_EXTENSION`` of the device, by name without ``KVM_CAP_``.
EXTENSIONS: Mapping[str, int] = {
    "IRQCHIP": 0,
    "NR_VCPUS": 9,
    "MCE": 31,
    "PIT_STATE2": 35,
    "XEN_HVM": 38,
    "ADJUST_CLOCK": 39,
    "HYPERV": 44,
    "XSAVE": 55,
    "XCRS": 56,
    "TSC_CONTROL": 60,
    "GET_TSC_KHZ": 61,
    "MAX_VCPUS": 66,
    "TSC_DEADLINE_TIMER": 72,
    "KVMCLOCK_CTRL": 76,
    "X86_SMM": 117,
    "SPLIT_IRQCHIP": 121,
    "HYPERV_SYNIC": 123,
    "MAX_VCPU_ID": 128,
    "X2APIC_API": 129,
    "HYPERV_SYNIC2": 148,
    "HYPERV_VP_INDEX": 149,
    "NESTED_STATE": 157,
    "HYPERV_ENLIGHTENED_VMCS": 163,
    "HYPERV_CPUID": 167,
    "ASYNC_PF_INT": 183,
    "ENFORCE_PV_FEATURE_CPUID": 190,
    "SYS_HYPERV_CPUID": 191,
    "XSAVE2": 208,
    "PMU_CAPABILITY": 212,
    "VM_TSC_CONTROL": 214,
    "ARM_PMU_V3": 126,
    "ARM_VM_IPA_SIZE": 165,
    "ARM_SVE": 170,
    "ARM_PTRAUTH_ADDRESS": 171,
    "ARM_MTE": 205,
    "PPC_MMU_RADIX": 134,
    "PPC_MMU_HASH_V3": 135,
    "PPC_HTM": 132,
    "PPC_NESTED_HV": 160,
}

#: A CPU's subsection to the MSRs in it, which are put only when the kernel lists them.
SENT_MSRS: Mapping[str, tuple[int, ...]] = {
    "cpu/msr_tsc_adjust": (0x3B,),
    "cpu/msr_tscdeadline": (0x6E0,),
    "cpu/msr_smi_count": (0x34,),
    "cpu/spec_ctrl": (0x48,),
    "cpu/virt_ssbd": (0xC001011F,),
    "cpu/amd_tsc_scale_msr": (0xC0000104,),
    "cpu/umwait": (0xE1,),
    "cpu/msr_tsx_ctrl": (0x122,),
    "cpu/pkrs": (0x6E1,),
    "cpu/xss": (0xDA0,),
    "cpu/msr_xfd": (0x1C4, 0x1C5),
    "cpu/async_pf_msr": (0x4B564D02,),
    "cpu/async_pf_int_msr": (0x4B564D06,),
    "cpu/async_pv_eoi_msr": (0x4B564D04,),
    "cpu/steal_time_msr": (0x4B564D03,),
    "cpu/poll_control_msr": (0x4B564D05,),
    "cpu/msr_hyperv_hypercall": (0x40000000, 0x40000001),
    "cpu/msr_hyperv_vapic": (0x40000073,),
    "cpu/msr_hyperv_time": (0x40000021,),
    "cpu/msr_hyperv_crash": (0x40000100, 0x40000105),
    "cpu/msr_hyperv_runtime": (0x40000010,),
    "cpu/msr_hyperv_synic": (0x40000080,),
    "cpu/msr_hyperv_stimer": (0x400000B0,),
    "cpu/msr_hyperv_reenlightenment": (0x40000106,),
}

#: QEMU's names of features that libvirt calls otherwise (``virQEMUCapsCPUFeaturesX86``, 9.0, 11.3).
LIBVIRT_NAMES: Mapping[str, str] = {
    "cmp-legacy": "cmp_legacy",
    "ds-cpl": "ds_cpl",
    "fxsr-opt": "fxsr_opt",
    "kvm-pv-eoi": "kvm_pv_eoi",
    "kvm-pv-unhalt": "kvm_pv_unhalt",
    "lahf-lm": "lahf_lm",
    "nodeid-msr": "nodeid_msr",
    "pclmulqdq": "pclmuldq",
    "perfctr-core": "perfctr_core",
    "perfctr-nb": "perfctr_nb",
    "tsc-adjust": "tsc_adjust",
}
