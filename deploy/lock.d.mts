export type Lock = { held: true; release: () => void } | { held: false; holder: { pid: number } };

/** A text that only this run of this pid has; undefined when no such process runs. */
export function processIdentity(pid: number): string | undefined;

/** Takes the lock `name` in `folder`, or says which live process has it. Never waits. */
export function tryLock(folder: string, name: string): Lock;
