"""The QEMU program: started paused and inert, spoken to over QMP, saved, loaded, ended.

The only package (beside ``lab``) that starts processes.
"""
