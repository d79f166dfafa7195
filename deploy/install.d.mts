/** A failure that the user can act on; printed as one line. */
export class LaunchError extends Error {}

/** Installs when node_modules is missing or stale; of several processes at once, one installs. */
export function install(project: string): Promise<void>;

/** Whether node_modules holds what the lock file asks for on this machine. */
export function isInstalled(project: string): boolean;
