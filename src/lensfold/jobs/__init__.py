"""The work a pack still needs, as jobs that any engine may run: this machine, a Ray cluster, a SLURM cluster.

``job`` names a job, ``plan`` lists those that are needed and what each waits for, ``work`` does one, ``process`` runs
that as a process with a log, ``drive`` hands jobs to an engine (``local`` or ``ray_engine``) until none is left,
``slurm`` writes the script that hands them to sbatch, and ``progress`` shows how far they are.
"""
