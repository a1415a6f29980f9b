"""System registers of an Arm CPU by the number that KVM gives them.

Linux, Documentation/virt/kvm/api.rst (KVM_SET_ONE_REG): ``0x6030 0000 0013 <op0:2, op1:3, crn:4,
crm:4, op2:3>`` is a system register of 64 bits. Names: Arm Architecture Reference Manual, D19.
"""

from __future__ import annotations

_SYSTEM = 0x0013
# (op0, op1, crn, crm, op2) and what the register tells.
_NAMES = {
    (3, 0, 0, 0, 0): ("MIDR_EL1", "maker, model and revision of the core"),
    (3, 0, 0, 0, 5): ("MPIDR_EL1", "the core's place in the topology"),
    (3, 0, 0, 0, 6): ("REVIDR_EL1", "the core's revision"),
    (3, 0, 0, 4, 0): ("ID_AA64PFR0_EL1", "exception levels, floating point, SVE, CSV2, CSV3"),
    (3, 0, 0, 4, 1): ("ID_AA64PFR1_EL1", "branch targets, SSBS, memory tagging, SME"),
    (3, 0, 0, 4, 4): ("ID_AA64ZFR0_EL1", "the instructions of SVE"),
    (3, 0, 0, 4, 5): ("ID_AA64SMFR0_EL1", "the instructions of SME"),
    (3, 0, 0, 5, 0): ("ID_AA64DFR0_EL1", "debugging and the performance counters (PMU)"),
    (3, 0, 0, 5, 1): ("ID_AA64DFR1_EL1", "debugging"),
    (3, 0, 0, 6, 0): ("ID_AA64ISAR0_EL1", "instructions: crypto, atomics, random numbers"),
    (3, 0, 0, 6, 1): ("ID_AA64ISAR1_EL1", "instructions: pointer authentication, dot products"),
    (3, 0, 0, 6, 2): ("ID_AA64ISAR2_EL1", "instructions: WFxT, pointer authentication 3"),
    (3, 0, 0, 7, 0): ("ID_AA64MMFR0_EL1", "size of addresses and pages"),
    (3, 0, 0, 7, 1): ("ID_AA64MMFR1_EL1", "virtual memory"),
    (3, 0, 0, 7, 2): ("ID_AA64MMFR2_EL1", "virtual memory"),
    (3, 1, 0, 0, 1): ("CLIDR_EL1", "the levels of cache"),
    (3, 3, 0, 0, 1): ("CTR_EL0", "the size of cache lines"),
    (3, 3, 9, 12, 0): ("PMCR_EL0", "control of the performance counters and their number"),
}


def of_number(number: int) -> tuple[int, int, int, int, int] | None:
    """op0, op1, crn, crm, op2 of KVM's number of a register; None for one of another kind."""
    if number >> 60 != 6 or (number >> 16) & 0xFFFF != _SYSTEM:
        return None
    return (
        number >> 14 & 3,
        number >> 11 & 7,
        number >> 7 & 15,
        number >> 3 & 15,
        number & 7,
    )


def described(fields: tuple[int, int, int, int, int]) -> str:
    """What a system register is called and tells, "" when it is not one of the usual ones."""
    found = _NAMES.get(fields)
    return f"{found[0]} ({found[1]})" if found else ""
