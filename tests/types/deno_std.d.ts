declare module "deno-std/*";
