/** Prepares the project and runs a script of it, or an installed program; settles with the exit code to end with. */
export function launch(
  command: string,
  args: readonly string[],
  options?: { project?: string },
): Promise<number>;

/** Whether `version` ("24.15.1") is at least `least` ([24, 15]). */
export function isAtLeast(version: string, least: readonly [number, number]): boolean;
