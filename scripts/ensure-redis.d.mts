export function redisOnPath(searchPath: string): string | undefined;
export function installRedisWithApt(): void;
export function ensureRedisProgram(): string;
